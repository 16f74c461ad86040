// Microsoft Graph application permissions of the app's identity. Whoever deploys this needs the Entra role Privileged
// Role Administrator; docs/deploy.md has the same as commands, for an admin who grants by hand.
extension microsoftGraphV1

@description('Object id of the app\'s identity.')
param principalId string

@description('Names of application permissions.')
param permissions string[]

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000' // Microsoft Graph, in every tenant
}

// Roles of that name exist for users, too: only those for applications are looked at.
var roleIds = toObject(
  filter(graph.appRoles, role => contains(role.allowedMemberTypes, 'Application')),
  role => role.value,
  role => role.id
)

@batchSize(1)
resource grants 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for permission in permissions: {
    appRoleId: roleIds[permission]
    principalId: principalId
    resourceId: graph.id
  }
]
