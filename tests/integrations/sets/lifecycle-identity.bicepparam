using '../../../integrations/lifecycle-workflow/main.bicep'

param revokerUrl = 'https://func-revoker.azurewebsites.net'
param revokerAudience = '00000000-0000-4000-8000-000000000003'
param waitAtMost = 'PT2H'
