@export()
@description('Tags of a resource.')
type Tags = {
  @description('A value under its name.')
  *: string
}

@export()
@sealed()
@description('Names for those who have a naming convention; what is left out gets a name of its own.')
type Names = {
  @description('The function app: globally unique, at most 32 characters.')
  site: string?

  @description('The plan.')
  plan: string?

  @description('The managed identity.')
  identity: string?

  @description('The storage account: globally unique, 3 to 24 lower-case letters and digits.')
  storage: string?

  @description('Application Insights.')
  insights: string?

  @description('The Log Analytics workspace, when one is made.')
  workspace: string?

  @description('The virtual network, when one is made.')
  network: string?
}

@export()
@sealed()
@description('Subnets that exist, for those who have a network; names inside it are then theirs to resolve, too.')
type Subnets = {
  @description('Resource id of the subnet for the app, delegated to Microsoft.App/environments.')
  app: string

  @description('Resource id of the subnet for private endpoints.')
  endpoints: string
}

@export()
@sealed()
@description('The app\'s own settings (docs/settings.md); what is left out keeps the default of the app.')
type AppSettings = {
  @description('Object ids or UPNs that are never revoked.')
  protectedUsers: string[]?

  @description('Object id of a group whose members are never revoked.')
  protectedGroup: string?

  @minValue(1)
  @maxValue(1000000)
  @description('Larger requests are refused.')
  maxUsers: int?

  @description('Refuse every request while an entry of protectedUsers matches nobody.')
  protectionStrict: bool?

  @minValue(0)
  @maxValue(1000000)
  @description('Larger groups and filters wait for a confirmation.')
  maxUnconfirmedUsers: int?

  @description('Requests that one caller may have open; beyond it a call is refused with 429.')
  @minValue(1)
  maxOpenRequestsPerCaller: int?

  @description('Refuse requests without a reason.')
  requireReason: bool?

  @description('Kill switch: nobody is revoked. true lets new requests wait, refuse turns them away with 503.')
  revokingPaused: ('false' | 'true' | 'refuse')?

  @description('Show beside users who moved their cut-off and who signed in after it; grants AuditLog.Read.All.')
  evidence: bool?

  @minValue(1)
  @maxValue(1000000)
  @description('Graph writes per 150 seconds to plan with.')
  graphWritesPer150s: int?

  @minValue(1)
  @maxValue(36500)
  @description('How long the status log is kept, in days.')
  retentionDays: int?

  @minValue(1)
  @maxValue(100)
  @description('How long an HTTP call works before it answers 202, in seconds.')
  inCallSeconds: int?

  @description('Hosts that callbacks may go to: exact names. Callbacks need callbackSecretUri, too.')
  callbackHosts: string[]?

  @description('Address of the Key Vault secret that callbacks are signed with: https://<vault>.vault.azure.net/secrets/<name>.')
  callbackSecretUri: string?

  @description('The app\'s public address without /api, behind a gateway.')
  publicBaseUrl: string?

  @description('Graph root of a national cloud.')
  graphEndpoint: string?

  @description('Audience of the Graph token, where it differs from the root.')
  graphResource: string?
}

@export()
@sealed()
@description('Instances that are kept warm.')
type AlwaysReady = {
  @description('"http" for every HTTP function together, or "function:" and the name of a queue function.')
  name: string

  @minValue(1)
  @description('How many.')
  instanceCount: int
}

@export()
@sealed()
@description('Somebody who may put messages on the queue of the doors.')
type QueueSender = {
  @description('Object id of the user, group or service principal.')
  principalId: string

  @description('What that object id is.')
  principalType: 'User' | 'Group' | 'ServicePrincipal'
}

@export()
@sealed()
@description('Somebody who gets a role of the app, with Entra authentication.')
type Caller = {
  @description('Object id of the user, group or service principal, for example the managed identity of a logic app.')
  principalId: string

  @description('The role.')
  role: 'Revocations.Submit' | 'Revocations.Read' | 'Revocations.Confirm'
}
