// One private endpoint with its private DNS zone, linked to the network.
import { Tags } from '../types.bicep'

@description('Name of the endpoint.')
param name string

@description('Resource id of what is reached through it.')
param targetId string

@description('Which service of the target: blob, queue, table or sites.')
param service string

@description('Name of the private DNS zone.')
param zoneName string

@description('Name of the virtual network.')
param networkName string

@description('Name of the subnet for private endpoints.')
param subnetName string

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' existing = {
  name: networkName

  resource subnet 'subnets' existing = { name: subnetName }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: zoneName
  location: 'global'
  tags: tags

  resource link 'virtualNetworkLinks' = {
    name: networkName
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: network::subnet.id }
    privateLinkServiceConnections: [
      { name: service, properties: { privateLinkServiceId: targetId, groupIds: [service] } }
    ]
  }

  resource names 'privateDnsZoneGroups' = {
    name: 'default'
    properties: { privateDnsZoneConfigs: [{ name: service, properties: { privateDnsZoneId: zone.id } }] }
  }
}
