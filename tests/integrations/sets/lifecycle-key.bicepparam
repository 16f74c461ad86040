using '../../../integrations/lifecycle-workflow/main.bicep'

param revokerUrl = 'https://func-revoker.azurewebsites.net'
param submitKey = az.getSecret('00000000-0000-4000-8000-000000000001', 'rg-soc', 'kv-contoso', 'revoker-payload-key')
