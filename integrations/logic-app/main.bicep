// A Logic App (Consumption) that has the revoker end sessions and tells the true result: README.md. The definitions are in
// workflows/; how the Logic App proves who it is, is put into their calls here.
targetScope = 'resourceGroup'

@description('Name of the Logic App.')
param name string = 'logic-revoke-sessions'

@description('Azure region.')
param location string = resourceGroup().location

@description('Which definition: one request (revoke), or one for each leaver (forEach).')
param variant 'revoke' | 'forEach' = 'revoke'

@description('Address of the revoker, without a slash at its end: SERVICE_API_ENDPOINT of its deployment.')
param revokerUrl string

@description('With Entra authentication: ENTRA_CLIENT_ID of the revoker. One character more, be it a slash, is a 401.')
param revokerAudience string = ''

@secure()
@description('With function keys: the key of submit, from a key vault.')
param submitKey string = ''

@secure()
@description('With function keys: the key of confirm, from a key vault.')
param confirmKey string = ''

@description('Who is asked before a mass revocation that is held.')
param approver string

@description('Who is told the result.')
param notify string = approver

var byIdentity = { authentication: { type: 'ManagedServiceIdentity', audience: revokerAudience } }
var submit = empty(revokerAudience) ? { headers: { 'x-functions-key': '@parameters(\'submitKey\')' } } : byIdentity
var confirm = empty(revokerAudience) ? { headers: { 'x-functions-key': '@parameters(\'confirmKey\')' } } : byIdentity
var definitions = {
  revoke: union(loadJsonContent('workflows/revoke.json'), {
    actions: {
      Revoke_sessions: { inputs: submit }
      Is_held: { actions: { Is_confirmed: { actions: { Confirm: { inputs: confirm } } } } }
    }
  })
  forEach: union(loadJsonContent('workflows/for-each.json'), {
    actions: { For_each_leaver: { actions: { Revoke_sessions: { inputs: submit } } } }
  })
}

// Somebody signs in to it once, in the portal: it sends its mails as that person or shared mailbox.
resource mail 'Microsoft.Web/connections@2016-06-01' = {
  name: 'office365-${name}'
  location: location
  properties: {
    displayName: 'office365-${name}'
    api: { id: subscriptionResourceId('Microsoft.Web/locations/managedApis', location, 'office365') }
  }
}

resource workflow 'Microsoft.Logic/workflows@2019-05-01' = {
  name: name
  location: location
  identity: { type: 'SystemAssigned' }
  properties: {
    state: 'Enabled'
    definition: definitions[variant]
    parameters: {
      '$connections': {
        value: {
          office365: {
            connectionId: mail.id
            connectionName: mail.name
            id: subscriptionResourceId('Microsoft.Web/locations/managedApis', location, 'office365')
          }
        }
      }
      revokerUrl: { value: revokerUrl }
      submitKey: { value: submitKey }
      notify: { value: notify }
      ...(variant == 'revoke' ? { confirmKey: { value: confirmKey }, approver: { value: approver } } : {})
    }
  }
}

@description('Object id of the Logic App\'s identity: who gets the app roles with Entra authentication.')
output principalId string = workflow.identity.principalId
