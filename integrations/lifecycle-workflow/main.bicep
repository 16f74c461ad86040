// A Logic App (Consumption) for a custom task extension of Entra Lifecycle Workflows: README.md.
targetScope = 'resourceGroup'

@description('Name of the Logic App.')
param name string = 'logic-revoke-leaver'

@description('Azure region.')
param location string = resourceGroup().location

@description('Address of the revoker, without a slash at its end: SERVICE_API_ENDPOINT of its deployment.')
param revokerUrl string

@description('With Entra authentication: ENTRA_CLIENT_ID of the revoker. One character more, be it a slash, is a 401.')
param revokerAudience string = ''

@secure()
@description('With function keys: the key of submit_payload, from a key vault.')
param submitKey string = ''

@description('Longest wait for the revoker (ISO 8601): shorter than the extension waits for the Logic App.')
param waitAtMost string = 'PT25M'

@description('Microsoft Graph, which is told how the task ended.')
param graphUrl string = 'https://graph.microsoft.com'

// Lifecycle Workflows calls as this application, in every tenant.
var lifecycleWorkflows = 'ce79fdc4-cd1d-4ea5-8139-e74d7dbe0bb7'
var resourceManager = split(environment().resourceManager, '/')[2]
var call = empty(revokerAudience)
  ? { headers: { 'x-functions-key': '@parameters(\'submitKey\')' } }
  : { authentication: { type: 'ManagedServiceIdentity', audience: revokerAudience } }

resource workflow 'Microsoft.Logic/workflows@2019-05-01' = {
  name: name
  location: location
  identity: { type: 'SystemAssigned' }
  properties: {
    state: 'Enabled'
    definition: union(loadJsonContent('workflow.json'), {
      actions: { Revoke_sessions: { inputs: call, limit: { timeout: waitAtMost } } }
    })
    parameters: {
      revokerUrl: { value: revokerUrl }
      submitKey: { value: submitKey }
      graphUrl: { value: graphUrl }
    }
    // New extensions prove themselves with a token that is bound to this very call (proof of possession).
    accessControl: {
      triggers: {
        openAuthenticationPolicies: {
          policies: {
            AzureADLifecycleWorkflowsAuthPOPAuthPolicy: {
              type: 'AADPOP'
              claims: [
                { name: 'iss', value: 'https://sts.windows.net/${tenant().tenantId}/' }
                { name: 'aud', value: 'https://${resourceManager}' }
                { name: 'appid', value: lifecycleWorkflows }
                { name: 'm', value: 'POST' }
                { name: 'u', value: resourceManager }
                { name: 'p', value: resourceId('Microsoft.Logic/workflows', name) }
              ]
            }
          }
        }
      }
    }
  }
}

@description('Object id of the Logic App\'s identity: who gets the app role, and may resume the workflow.')
output principalId string = workflow.identity.principalId
