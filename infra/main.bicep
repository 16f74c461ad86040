// The whole deployment, into one resource group: docs/deploy.md explains each parameter and output.
// Names are made here and handed down, so that every name, scope and setting is known before anything is deployed.
import { AlwaysReady, AppSettings, Caller, Names, QueueSender, Subnets, Tags } from 'types.bicep'

targetScope = 'resourceGroup'

// ---- Where and what it is called

@minLength(1)
@maxLength(18)
@description('Part of most names, and the tag by which azd finds its resources: lower-case letters, digits, hyphens.')
param environmentName string = 'revoker'

@description('Azure region.')
param location string = resourceGroup().location

@description('Tags of every resource.')
param tags Tags = {}

@description('Names, for those who have a naming convention.')
param names Names = {}

// ---- What it may do in Microsoft Graph

@description('Whether this deployment grants the Graph permissions; if not, an admin does it by hand (docs/deploy.md).')
param grantGraphPermissions bool = true

// The second adds no power to the first, but is the only one that Microsoft's page lists for applications:
// https://learn.microsoft.com/graph/api/user-revokesigninsessions. The third is for groups.
@description('Graph application permissions of the app, by name.')
param graphPermissions string[] = ['User.ReadWrite.All', 'User.RevokeSessions.All', 'GroupMember.Read.All']

@minValue(1)
@description('A higher number makes a fresh identity: the way out of a token that is cached without a permission.')
param identityVersion int = 1

// ---- Who may call it

@description('Entra ID tokens and app roles instead of function keys.')
param entraAuthentication bool = false

@description('Who gets which role, with Entra authentication.')
param callers Caller[] = []

@description('Who may put messages on the queue revocation-requests.')
param queueSenders QueueSender[] = []

@description('Address ranges (CIDR) and service tags that may call the app; empty for all.')
param allowedSources string[] = []

@description('Whether storage and app answer on the Internet (public), only the app does (privateStorage), or none.')
param network 'public' | 'privateStorage' | 'private' = 'public'

@description('Address range of the virtual network, /24 or larger.')
param networkAddressPrefix string = '10.70.0.0/24'

@description('Subnets that exist, instead of a network and DNS zones made here.')
param existingSubnets Subnets?

// ---- How it behaves

@description('The app\'s own settings; what is left out keeps the default of the app (docs/settings.md).')
param settings AppSettings = {}

@description('Memory of an instance in MB.')
param memoryMB 512 | 2048 | 4096 = 2048

@minValue(40)
@maxValue(1000)
@description('The most instances. Graph\'s limit is reached by one, so the least that the platform allows is plenty.')
param maximumInstanceCount int = 40

@minValue(1)
@maxValue(1000)
@description('HTTP calls that one instance works on at the same time.')
param httpConcurrency int = 16

@description('Instances that are kept warm, and paid for.')
param alwaysReady AlwaysReady[] = []

@description('Spread instances over availability zones, where the region has them.')
param zoneRedundant bool = false

@description('Redundancy of the storage account.')
param storageSku 'Standard_LRS' | 'Standard_ZRS' | 'Standard_GRS' | 'Standard_GZRS' = 'Standard_LRS'

// ---- Who watches it

@description('Resource id of a Log Analytics workspace that exists; empty to make one.')
param logAnalyticsWorkspaceId string = ''

@minValue(30)
@maxValue(730)
@description('Days that a workspace made here keeps its data.')
param logRetentionDays int = 90

@description('Who is told of alerts by e-mail; empty for nobody.')
param alertEmail string = ''

@description('Resource ids of action groups that are told of alerts, too.')
param actionGroupIds string[] = []

var token = uniqueString(resourceGroup().id, environmentName)
var short = take(token, 8)
var siteName = names.?site ?? 'func-${environmentName}-${short}'
var planName = names.?plan ?? 'plan-${environmentName}-${short}'
var storageName = names.?storage ?? 'strevoker${token}'
var insightsName = names.?insights ?? 'appi-${environmentName}-${short}'
var workspaceName = names.?workspace ?? 'log-${environmentName}-${short}'
var networkName = names.?network ?? 'vnet-${environmentName}-${short}'
var identityBase = names.?identity ?? 'id-${environmentName}-${short}'
var identityName = identityVersion == 1 ? identityBase : '${identityBase}-${identityVersion}'
// Evidence is read from the directory's audit and sign-in logs.
var allPermissions = union(graphPermissions, settings.?evidence ?? false ? ['AuditLog.Read.All'] : [])
var allTags = { ...tags, 'azd-env-name': environmentName }
var appSubnet = 'app'
var endpointSubnet = 'endpoints'
var isPrivate = network != 'public'
var madeNetwork = isPrivate && existingSubnets == null ? networkName : null
var appSubnetId = existingSubnets.?app ?? resourceId(
  'Microsoft.Network/virtualNetworks/subnets',
  networkName,
  appSubnet
)
var endpointSubnetId = existingSubnets.?endpoints ?? resourceId(
  'Microsoft.Network/virtualNetworks/subnets',
  networkName,
  endpointSubnet
)

module identity 'modules/identity.bicep' = {
  params: { name: identityName, location: location, tags: allTags }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    name: insightsName
    workspaceName: workspaceName
    existingWorkspaceId: logAnalyticsWorkspaceId
    retentionDays: logRetentionDays
    location: location
    tags: allTags
  }
}

module storage 'modules/storage.bicep' = {
  params: {
    name: storageName
    sku: storageSku
    isPublic: !isPrivate
    workspaceId: monitoring.outputs.workspaceId
    location: location
    tags: allTags
  }
}

module access 'modules/access.bicep' = {
  params: {
    identityName: identityName
    principalId: identity.outputs.principalId
    storageName: storageName
    insightsName: insightsName
    queueSenders: queueSenders
  }
  dependsOn: [storage]
}

// After the roles in Azure: by then Entra has spread the news of the identity. Before the site: a token that was asked
// for too early would be cached without the permissions for a day.
module grant 'modules/grant.bicep' = if (grantGraphPermissions) {
  params: { principalId: identity.outputs.principalId, permissions: allPermissions }
  dependsOn: [access]
}

module entra 'modules/entra.bicep' = if (entraAuthentication) {
  params: { uniqueName: siteName, callers: callers }
}

module virtualNetwork 'modules/network.bicep' = if (madeNetwork != null) {
  params: {
    name: networkName
    addressPrefix: networkAddressPrefix
    appSubnet: appSubnet
    endpointSubnet: endpointSubnet
    location: location
    tags: allTags
  }
}

module storageEndpoints 'modules/endpoint.bicep' = [
  for service in ['blob', 'queue', 'table']: if (isPrivate) {
    params: {
      name: 'pep-${storageName}-${service}'
      targetId: resourceId('Microsoft.Storage/storageAccounts', storageName)
      service: service
      zoneName: 'privatelink.${service}.${environment().suffixes.storage}'
      subnetId: endpointSubnetId
      networkName: madeNetwork
      location: location
      tags: allTags
    }
    dependsOn: [storage, virtualNetwork]
  }
]

var storageHost = 'AzureWebJobsStorage'
var platformSettings = {
  // 16 MiB and a little: the app itself says what is wrong with a body that is only just too large.
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '17825792'
  '${storageHost}__blobServiceUri': 'https://${storageName}.blob.${environment().suffixes.storage}'
  '${storageHost}__queueServiceUri': 'https://${storageName}.queue.${environment().suffixes.storage}'
  '${storageHost}__tableServiceUri': 'https://${storageName}.table.${environment().suffixes.storage}'
  '${storageHost}__credential': 'managedidentity'
  '${storageHost}__clientId': identity.outputs.clientId
  AZURE_CLIENT_ID: identity.outputs.clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.outputs.clientId};Authorization=AAD'
}

// An empty text stands for "not given", and is not set at all: the app has its own defaults.
var ownSettings = {
  ENTRA_AUTHENTICATION: entraAuthentication ? 'true' : ''
  PROTECTED_USERS: join(settings.?protectedUsers ?? [], ',')
  PROTECTED_GROUP: settings.?protectedGroup ?? ''
  PROTECTION_STRICT: toLower(string(settings.?protectionStrict ?? ''))
  MAX_USERS: string(settings.?maxUsers ?? '')
  MAX_UNCONFIRMED_USERS: string(settings.?maxUnconfirmedUsers ?? '')
  MAX_OPEN_REQUESTS_PER_CALLER: string(settings.?maxOpenRequestsPerCaller ?? '')
  REQUIRE_REASON: toLower(string(settings.?requireReason ?? ''))
  REVOKING_PAUSED: settings.?revokingPaused ?? ''
  EVIDENCE: toLower(string(settings.?evidence ?? ''))
  GRAPH_WRITES_PER_150S: string(settings.?graphWritesPer150s ?? '')
  RETENTION_DAYS: string(settings.?retentionDays ?? '')
  IN_CALL_SECONDS: string(settings.?inCallSeconds ?? '')
  CALLBACK_HOSTS: join(settings.?callbackHosts ?? [], ',')
  CALLBACK_SECRET: empty(settings.?callbackSecretUri)
    ? ''
    : '@Microsoft.KeyVault(SecretUri=${settings.?callbackSecretUri})'
  PUBLIC_BASE_URL: settings.?publicBaseUrl ?? ''
  GRAPH_ENDPOINT: settings.?graphEndpoint ?? ''
  GRAPH_RESOURCE: settings.?graphResource ?? ''
}
var givenSettings = toObject(
  filter(items(ownSettings), setting => !empty(setting.value)),
  setting => setting.key,
  setting => setting.value
)

module site 'modules/site.bicep' = {
  params: {
    name: siteName
    planName: planName
    location: location
    tags: allTags
    siteTags: { 'azd-service-name': 'api' }
    identityName: identityName
    storageName: storageName
    settings: union(platformSettings, givenSettings)
    memoryMB: memoryMB
    maximumInstanceCount: maximumInstanceCount
    httpConcurrency: httpConcurrency
    alwaysReady: alwaysReady
    zoneRedundant: zoneRedundant
    subnetId: isPrivate ? appSubnetId : null
    isPublic: network != 'private'
    allowedSources: allowedSources
    entraAuthentication: entraAuthentication
    entraClientId: entra.?outputs.clientId ?? ''
    entraAudience: entra.?outputs.identifierUri ?? ''
  }
  dependsOn: [
    #disable-next-line no-unnecessary-dependson // when the grant is left out, what it waits for is no longer waited for
    access
    grant
    storageEndpoints
  ]
}

module siteEndpoint 'modules/endpoint.bicep' = if (network == 'private') {
  params: {
    name: 'pep-${siteName}'
    targetId: resourceId('Microsoft.Web/sites', siteName)
    service: 'sites'
    zoneName: 'privatelink.azurewebsites.net'
    subnetId: endpointSubnetId
    networkName: madeNetwork
    location: location
    tags: allTags
  }
  dependsOn: [site]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    prefix: siteName
    insightsName: insightsName
    email: alertEmail
    actionGroupIds: actionGroupIds
    location: location
    tags: allTags
  }
  dependsOn: [monitoring]
}

module workbook 'modules/workbook.bicep' = {
  params: { title: 'Session revocations (${siteName})', insightsName: insightsName, location: location, tags: allTags }
  dependsOn: [monitoring]
}

@description('Name of the function app; azd and func publish to it.')
output SERVICE_API_NAME string = siteName

@description('Address of the app.')
output SERVICE_API_ENDPOINT string = 'https://${site.outputs.hostName}'

@description('Name of the storage account with the queue and the status log.')
output STORAGE_ACCOUNT_NAME string = storageName

@description('Name of the app\'s identity.')
output IDENTITY_NAME string = identityName

@description('Object id of the app\'s identity: who is granted the Graph permissions.')
output IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId

@description('Name of Application Insights, where the workbook is.')
output APPLICATION_INSIGHTS_NAME string = insightsName

@description('Client id of the app registration; empty with function keys.')
output ENTRA_CLIENT_ID string = entra.?outputs.clientId ?? ''

@description('What callers ask a token for; empty with function keys.')
output ENTRA_IDENTIFIER_URI string = entra.?outputs.identifierUri ?? ''
