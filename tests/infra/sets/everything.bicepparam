// Every option given.
using '../../../infra/main.bicep'

param environmentName = 'contoso-prod'
param tags = { costCentre: '4711' }
param names = {
  site: 'contoso-revoker'
  plan: 'contoso-revoker-plan'
  identity: 'contoso-revoker-id'
  storage: 'contosorevoker'
  insights: 'contoso-revoker-appi'
}
param identityVersion = 2
param queueSenders = [{ principalId: '33333333-3333-4333-8333-333333333333', principalType: 'ServicePrincipal' }]
param allowedSources = ['203.0.113.0/24', 'LogicApps']
param settings = {
  protectedUsers: ['breakglass@contoso.com', '44444444-4444-4444-8444-444444444444']
  protectedGroup: '55555555-5555-4555-8555-555555555555'
  protectionStrict: true
  maxUsers: 50000
  maxUnconfirmedUsers: 0
  maxOpenRequestsPerCaller: 50
  requireReason: true
  revokingPaused: 'refuse'
  evidence: true
  graphWritesPer150s: 1500
  retentionDays: 730
  inCallSeconds: 30
  callbackHosts: ['hooks.contoso.com', 'prod-00.westeurope.logic.azure.com']
  callbackSecretUri: 'https://contoso-vault.vault.azure.net/secrets/callback-secret'
  publicBaseUrl: 'https://revoke.contoso.com'
  graphEndpoint: 'https://graph.microsoft.com'
  graphResource: 'https://graph.microsoft.com'
}
param memoryMB = 4096
param maximumInstanceCount = 100
param httpConcurrency = 32
param alwaysReady = [{ name: 'http', instanceCount: 2 }, { name: 'function:on_request_message', instanceCount: 2 }]
param zoneRedundant = true
param storageSku = 'Standard_ZRS'
param logAnalyticsWorkspaceId = '/subscriptions/66666666-6666-4666-8666-666666666666/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/central'
param alertEmail = 'soc@contoso.com'
param actionGroupIds = [
  '/subscriptions/66666666-6666-4666-8666-666666666666/resourceGroups/logs/providers/Microsoft.Insights/actionGroups/oncall'
]
