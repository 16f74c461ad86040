// Nothing answers on the Internet, and callers bring Entra tokens.
using '../../../infra/main.bicep'

param network = 'private'
param entraAuthentication = true
param callers = [
  { principalId: '11111111-1111-4111-8111-111111111111', role: 'Revocations.Submit' }
  { principalId: '22222222-2222-4222-8222-222222222222', role: 'Revocations.Confirm' }
]
