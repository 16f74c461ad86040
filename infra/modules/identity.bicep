// The user-assigned identity that the app acts as, towards Microsoft Graph and its own storage.
import { Tags } from '../types.bicep'

@description('Name of the identity.')
param name string

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Object id, for grants.')
output principalId string = identity.properties.principalId

@description('Client id, for tokens.')
output clientId string = identity.properties.clientId
