// A platform team's network and central DNS zones.
using '../../../infra/main.bicep'

param network = 'private'
param existingSubnets = {
  app: '/subscriptions/66666666-6666-4666-8666-666666666666/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/spoke/subnets/revoker'
  endpoints: '/subscriptions/66666666-6666-4666-8666-666666666666/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/spoke/subnets/endpoints'
}
