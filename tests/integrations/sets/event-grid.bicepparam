using '../../../integrations/event-grid/main.bicep'

param topicName = 'evgt-contoso-security'
param storageAccountName = 'strevoker'
