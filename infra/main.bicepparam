// What azd and "az deployment group create" use. Set what is often changed with "azd env set NAME value" (or export it),
// and write anything else here: docs/deploy.md lists every parameter. An empty variable counts as unset.
using 'main.bicep'

var email = readEnvironmentVariable('REVOKER_ALERT_EMAIL', '')
var entra = readEnvironmentVariable('REVOKER_ENTRA_AUTHENTICATION', '')
var environment = readEnvironmentVariable('AZURE_ENV_NAME', '')
var grant = readEnvironmentVariable('REVOKER_GRANT_GRAPH_PERMISSIONS', '')
var identity = readEnvironmentVariable('REVOKER_IDENTITY_VERSION', '')
var paused = readEnvironmentVariable('REVOKER_REVOKING_PAUSED', '')
var protected = readEnvironmentVariable('REVOKER_PROTECTED_USERS', '')

param environmentName = empty(environment) ? 'revoker' : environment
param alertEmail = email
param entraAuthentication = empty(entra) ? false : bool(entra)
param grantGraphPermissions = empty(grant) ? true : bool(grant)
param identityVersion = empty(identity) ? 1 : int(identity)
param settings = {
  protectedUsers: empty(protected) ? [] : split(protected, ',')
  revokingPaused: empty(paused) ? 'false' : paused == 'refuse' ? 'refuse' : bool(paused) ? 'true' : 'false'
}
