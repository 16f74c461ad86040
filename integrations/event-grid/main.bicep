// Requests that arrive as events of a custom topic go to the app's queue, without their envelope.
@description('Name of the custom topic, in this resource group, that the requests are published to.')
param topicName string

@description('Type of the events whose data is a request. Events of other types are not delivered.')
param eventType string = 'Contoso.Security.SessionsToRevoke'

@description('Name of the app\'s storage account, in this resource group.')
param storageAccountName string

@description('Name of the logic app.')
param workflowName string = 'logic-revoker-events'

@description('Azure region.')
param location string = resourceGroup().location

var messageSender = 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'

resource topic 'Microsoft.EventGrid/topics@2025-02-15' existing = { name: topicName }

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName

  resource queues 'queueServices' existing = {
    name: 'default'

    resource requests 'queues' existing = { name: 'revocation-requests' }
  }
}

resource workflow 'Microsoft.Logic/workflows@2019-05-01' = {
  name: workflowName
  location: location
  identity: { type: 'SystemAssigned' }
  properties: {
    state: 'Enabled'
    definition: loadJsonContent('workflow.json')
    parameters: {
      messagesUrl: { value: '${account.properties.primaryEndpoints.queue}revocation-requests/messages' }
      requestedBy: { value: 'Event Grid topic ${topicName}' }
    }
  }

  resource events 'triggers' existing = { name: 'events' }
}

resource mayPutMessages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::queues::requests.id, workflow.id, messageSender)
  scope: account::queues::requests
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', messageSender)
    principalId: workflow.identity.principalId
    principalType: 'ServicePrincipal'
  }
}

resource subscription 'Microsoft.EventGrid/topics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: workflowName
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: { endpointUrl: workflow::events.listCallbackUrl().value, maxEventsPerBatch: 1 }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: { includedEventTypes: [eventType] }
    retryPolicy: { eventTimeToLiveInMinutes: 1440, maxDeliveryAttempts: 30 }
  }
  dependsOn: [mayPutMessages]
}
