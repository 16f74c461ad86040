// An admin grants by hand: a national cloud, or a team that keeps Entra apart from Azure. The storage is private.
using '../../../infra/main.bicep'

param grantGraphPermissions = false
param network = 'privateStorage'
param settings = { graphEndpoint: 'https://graph.microsoft.us' }
