// Application Insights, which takes telemetry only from identities, and the Log Analytics workspace below it.
import { Tags } from '../types.bicep'

@description('Name of the Application Insights component.')
param name string

@description('Name of the workspace to make; not used when there is one.')
param workspaceName string

@description('Resource id of a workspace that exists; empty to make one.')
param existingWorkspaceId string

@description('Days that a workspace made here keeps its data.')
param retentionDays int

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = if (empty(existingWorkspaceId)) {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    features: { disableLocalAuth: true, enableLogAccessUsingOnlyResourcePermissions: true }
  }
}

var usedWorkspaceId = empty(existingWorkspaceId)
  ? resourceId('Microsoft.OperationalInsights/workspaces', workspaceName)
  : existingWorkspaceId

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    IngestionMode: 'LogAnalytics'
    WorkspaceResourceId: usedWorkspaceId
  }
  dependsOn: [workspace]
}

@description('Where telemetry goes; worthless without an identity that may publish.')
output connectionString string = component.properties.ConnectionString

@description('The workspace in use.')
output workspaceId string = usedWorkspaceId
