// A virtual network of its own: one subnet for the app's instances, one for private endpoints.
import { Tags } from '../types.bicep'

@description('Name of the network.')
param name string

@description('Address range, /24 or larger.')
param addressPrefix string

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

@description('Name of the subnet for the app.')
param appSubnet string

@description('Name of the subnet for private endpoints.')
param endpointSubnet string

// Without rules of its own: the default ones let nothing in from the Internet.
resource closed 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${name}-nsg'
  location: location
  tags: tags
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: appSubnet
        properties: {
          // Flex Consumption takes one address per instance, and Microsoft asks for /26 or more beyond 40 instances.
          addressPrefix: cidrSubnet(addressPrefix, 25, 0)
          networkSecurityGroup: { id: closed.id }
          delegations: [{ name: 'functions', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: endpointSubnet
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 2)
          networkSecurityGroup: { id: closed.id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}
