// One private endpoint; with its private DNS zone, where the network was made here.
import { Tags } from '../types.bicep'

@description('Name of the endpoint.')
param name string

@description('Resource id of what is reached through it.')
param targetId string

@description('Which service of the target: blob, queue, table or sites.')
param service string

@description('Resource id of the subnet for private endpoints.')
param subnetId string

@description('Name of the virtual network to link a zone to; null where the zones are somebody else\'s.')
param networkName string?

@description('Name of the private DNS zone.')
param zoneName string

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = if (networkName != null) {
  name: zoneName
  location: 'global'
  tags: tags

  resource link 'virtualNetworkLinks' = {
    name: networkName ?? 'none'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: resourceId('Microsoft.Network/virtualNetworks', networkName ?? 'none') }
    }
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      { name: service, properties: { privateLinkServiceId: targetId, groupIds: [service] } }
    ]
  }

  resource names 'privateDnsZoneGroups' = if (networkName != null) {
    name: 'default'
    properties: { privateDnsZoneConfigs: [{ name: service, properties: { privateDnsZoneId: zone.id } }] }
  }
}
