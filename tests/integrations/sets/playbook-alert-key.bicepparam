using '../../../integrations/sentinel-playbook/alert-trigger/azuredeploy.json'

param RevokerUrl = 'https://func-revoker.azurewebsites.net'
param RevokerKey = az.getSecret('00000000-0000-4000-8000-000000000001', 'rg-soc', 'kv-contoso', 'revoker-payload-key')
