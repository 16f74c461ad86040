// The app registration that callers ask tokens for. It has no secret and no certificate: the app only checks tokens, it
// never signs anybody in.
extension microsoftGraphV1

import { appRoles } from '../shared.bicep'
import { Caller } from '../types.bicep'

@description('Name of the registration; never changes, for it is the key.')
param uniqueName string

@description('Who gets which role.')
param callers Caller[]

// Lets a person get a token with "az account get-access-token"; what the token may do is still decided by the roles.
var azureCli = '04b07795-8ddb-461a-bbee-02f9e1bf7b46'
var scopeId = guid(uniqueName, 'scope')
var identifier = 'api://${tenant().tenantId}/${uniqueName}'

resource registration 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: uniqueName
  displayName: uniqueName
  signInAudience: 'AzureADMyOrg'
  identifierUris: [identifier]
  appRoles: [
    for role in items(appRoles): {
      id: guid(uniqueName, role.key)
      value: role.key
      displayName: role.key
      description: role.value
      allowedMemberTypes: ['User', 'Application']
      isEnabled: true
    }
  ]
  // Tells an application that acts on its own from a person: it has no sessions that it could end.
  optionalClaims: { accessToken: [{ name: 'idtyp', essential: false, additionalProperties: [] }] }
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: scopeId
        value: 'Revocations.Call'
        type: 'Admin'
        adminConsentDisplayName: 'Call the session revoker'
        adminConsentDescription: 'Call the session revoker as the signed-in user, with the roles the user has there.'
        isEnabled: true
      }
    ]
    preAuthorizedApplications: [{ appId: azureCli, delegatedPermissionIds: [scopeId] }]
  }
}

resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
  // Callers without a role get a token, too: everybody may end the own sessions. The app checks the roles itself.
  appRoleAssignmentRequired: false
}

@batchSize(1)
resource callerRoles 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for caller in callers: {
    appRoleId: guid(uniqueName, caller.role)
    principalId: caller.principalId
    resourceId: servicePrincipal.id
  }
]

@description('Client id of the registration: the audience of the tokens.')
output clientId string = registration.appId

@description('What callers ask a token for.')
output identifierUri string = identifier
