// Who may do what in Azure. The account is the app's alone, so its scope is the app's own data and nothing else.
import { doorQueue, roleDefinitions } from '../shared.bicep'
import { QueueSender } from '../types.bicep'

@description('Name of the app\'s identity.')
param identityName string

@description('Object id of the app\'s identity.')
param principalId string

@description('Name of the storage account.')
param storageName string

@description('Name of the Application Insights component.')
param insightsName string

@description('Who else may put messages on the queue of the doors.')
param queueSenders QueueSender[]

// The first is what the Functions host is documented to need: leases, function keys and the package are blobs, in
// containers it makes itself. With less than the second the host cannot move a message to a poison queue. The third is
// the status log, and the host's own table of diagnostic events.
var storageRoles = [
  'Storage Blob Data Owner'
  'Storage Queue Data Contributor'
  'Storage Table Data Contributor'
]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = { name: identityName }

resource component 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName

  resource queueService 'queueServices' existing = {
    name: 'default'

    resource door 'queues' existing = { name: doorQueue }
  }
}

resource storageAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in storageRoles: {
    name: guid(account.id, identity.id, roleDefinitions[role])
    scope: account
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleDefinitions[role])
    }
  }
]

var publisher = roleDefinitions['Monitoring Metrics Publisher']

resource telemetryAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, identity.id, publisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', publisher)
  }
}

var sender = roleDefinitions['Storage Queue Data Message Sender']

resource senderAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for queueSender in queueSenders: {
    name: guid(account::queueService::door.id, queueSender.principalId, sender)
    scope: account::queueService::door
    properties: {
      principalId: queueSender.principalId
      principalType: queueSender.principalType
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sender)
    }
  }
]
