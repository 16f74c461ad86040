// The function app on its Flex Consumption plan. Its settings come in from main.bicep; none of them is a secret.
import { packageContainer } from '../shared.bicep'
import { AlwaysReady, Tags } from '../types.bicep'

@description('Name of the function app.')
param name string

@description('Name of the plan.')
param planName string

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

@description('Tags of the site alone.')
param siteTags Tags

@description('Name of the app\'s identity.')
param identityName string

@description('Name of the storage account.')
param storageName string

@description('The app settings, whole.')
param settings { *: string }

@description('Memory of an instance in MB.')
param memoryMB int

@description('The most instances.')
param maximumInstanceCount int

@description('HTTP calls that one instance works on at the same time.')
param httpConcurrency int

@description('Instances that are kept warm.')
param alwaysReady AlwaysReady[]

@description('Whether instances are spread over availability zones.')
param zoneRedundant bool

@description('Resource id of the app\'s subnet; null for none.')
param subnetId string?

@description('Whether the site answers outside of the virtual network.')
param isPublic bool

@description('Address ranges and service tags that may call the site; empty for all.')
param allowedSources string[]

@description('Whether callers bring Entra tokens instead of function keys.')
param entraAuthentication bool

@description('Client id of the app registration.')
param entraClientId string

@description('Other audience of the callers\' tokens.')
param entraAudience string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = { name: identityName }

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

var restrictions = [
  for (source, index) in allowedSources: {
    name: 'allowed-${index}'
    action: 'Allow'
    priority: 100 + index
    ipAddress: source
    tag: contains(source, '/') ? 'Default' : 'ServiceTag'
  }
]

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: { ...tags, ...siteTags }
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // Key Vault references are resolved as this identity; the platform would take a system-assigned one.
    keyVaultReferenceIdentity: identity.id
    clientAffinityEnabled: false
    publicNetworkAccess: isPublic ? 'Enabled' : 'Disabled'
    virtualNetworkSubnetId: subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${storageName}.blob.${environment().suffixes.storage}/${packageContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: memoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReady
        // Left out, a Python app serves one call per instance.
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
    // Only what this plan takes: it has no FTP, and some regions refuse a site that even says so (ftpsState).
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      remoteDebuggingEnabled: false
      ipSecurityRestrictions: restrictions
      ipSecurityRestrictionsDefaultAction: empty(allowedSources) ? 'Allow' : 'Deny'
      scmIpSecurityRestrictionsUseMain: true
    }
  }

  resource appSettings 'config' = { name: 'appsettings', properties: settings }

  resource ftp 'basicPublishingCredentialsPolicies' = { name: 'ftp', properties: { allow: false } }

  resource scm 'basicPublishingCredentialsPolicies' = { name: 'scm', properties: { allow: false } }

  // Declared when it is off, too: otherwise turning it off would change nothing. Nobody is stopped at the door, for the
  // app itself answers 401 and 403, and its signed links and /health are anonymous. No sign-in, so no client secret.
  resource authentication 'config' = {
    name: 'authsettingsV2'
    properties: !entraAuthentication
      ? { platform: { enabled: false } }
      : {
          platform: { enabled: true }
          globalValidation: { requireAuthentication: false, unauthenticatedClientAction: 'AllowAnonymous' }
          httpSettings: { requireHttps: true }
          identityProviders: {
            azureActiveDirectory: {
              enabled: true
              registration: {
                clientId: entraClientId
                openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
              }
              validation: { allowedAudiences: [entraClientId, entraAudience] }
            }
          }
          login: { tokenStore: { enabled: false } }
        }
    // A site takes one change of its configuration at a time.
    dependsOn: [appSettings]
  }
}

@description('Host name of the app.')
output hostName string = site.properties.defaultHostName
