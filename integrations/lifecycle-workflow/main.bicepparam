// Fill in, then: az deployment group create --resource-group <group> --parameters integrations/lifecycle-workflow/main.bicepparam
using 'main.bicep'

param revokerUrl = 'https://func-revoker-example.azurewebsites.net'

// Either the key of the function submit_payload, which a key vault holds (it must allow template deployments) ...
param submitKey = az.getSecret('<subscription id>', '<group of the key vault>', '<key vault>', 'revoker-payload-key')
// ... or, with Entra authentication, this instead.
// param revokerAudience = '<ENTRA_CLIENT_ID>'
