// Fill in, then: az deployment group create --resource-group <group> --parameters integrations/logic-app/main.bicepparam
using 'main.bicep'

param revokerUrl = 'https://func-revoker-example.azurewebsites.net'
param approver = 'soc-lead@contoso.com'

// Either the keys of the functions submit and confirm, which a key vault holds (it must allow template deployments) ...
param submitKey = az.getSecret('<subscription id>', '<group of the key vault>', '<key vault>', 'revoker-submit-key')
param confirmKey = az.getSecret('<subscription id>', '<group of the key vault>', '<key vault>', 'revoker-confirm-key')
// ... or, with Entra authentication, this instead of both.
// param revokerAudience = '<ENTRA_CLIENT_ID>'
