// Nothing given: what an admin gets who changes nothing.
using '../../../infra/main.bicep'
