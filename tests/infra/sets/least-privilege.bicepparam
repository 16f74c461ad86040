// Only what Microsoft's pages list for what the app does, and groups left alone.
using '../../../infra/main.bicep'

param graphPermissions = ['User.RevokeSessions.All', 'User.Read.All']
