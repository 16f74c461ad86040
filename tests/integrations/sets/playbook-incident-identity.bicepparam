using '../../../integrations/sentinel-playbook/incident-trigger/azuredeploy.json'

param RevokerUrl = 'https://func-revoker.azurewebsites.net'
param RevokerAudience = '00000000-0000-4000-8000-000000000003'
