// Every name that the app, its host and its deployment must agree on; names.json is the one source, and the tests hold
// the Python code to it.
var names = loadJsonContent('names.json')

@export()
@description('The queue that other systems put messages on.')
var doorQueue = names.doorQueue

@export()
@description('Where the Functions host puts messages that failed again and again.')
var poisonQueues = ['${names.doorQueue}${names.poisonSuffix}', '${names.workQueue}${names.poisonSuffix}']

@export()
@description('Every queue of the app.')
var queues = concat([names.doorQueue, names.workQueue], poisonQueues)

@export()
@description('Every table of the app.')
var tables = names.tables

@export()
@description('The blob container that holds the deployed package.')
var packageContainer = names.packageContainer

@export()
@description('The roles a caller can have, with what each allows.')
var appRoles = names.appRoles

@export()
@description('Azure roles by name: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles')
var roleDefinitions = names.roleDefinitions
