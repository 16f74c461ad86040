#requires -Modules Az.Accounts, Az.Storage
<#
.SYNOPSIS
Puts one revocation request on the queue, as the person or identity of Connect-AzAccount.
.EXAMPLE
./send.ps1 -StorageAccountName strevoker -User adele@contoso.com, bob@contoso.com -IdempotencyKey hr-4711 -Reason leaver
#>
param(
    [Parameter(Mandatory)] [string] $StorageAccountName,
    [Parameter(Mandatory)] [string[]] $User,
    [Parameter(Mandatory)] [string] $IdempotencyKey,
    [string] $Reason,
    [string] $RequestedBy = 'HR script'
)
$ErrorActionPreference = 'Stop'

# @() keeps one user a list; without it, ConvertTo-Json writes a text.
$message = [ordered]@{
    users          = @($User)
    reason         = $Reason
    idempotencyKey = $IdempotencyKey
    requestedBy    = $RequestedBy
} | ConvertTo-Json -Compress

$context = New-AzStorageContext -StorageAccountName $StorageAccountName -UseConnectedAccount
$queue = Get-AzStorageQueue -Name 'revocation-requests' -Context $context
# QueueClient sends the text as it is. Do not encode it yourself: [Text.Encoding]::Unicode is UTF-16.
$null = $queue.QueueClient.SendMessage($message)
Write-Output 'Sent. GET /api/revocations?user=<user> says what became of it.'
