// What wakes somebody: one rule per file of queries/alerts, over the app's own log lines.
import { poisonQueues } from '../shared.bicep'
import { Tags } from '../types.bicep'

@description('Beginning of the rules\' names.')
param prefix string

@description('Name of the Application Insights component.')
param insightsName string

@description('Who is told by e-mail; empty for nobody.')
param email string

@description('Action groups that exist and are told, too.')
param actionGroupIds string[]

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

@description('One alert rule.')
type Alert = {
  @description('What is wrong.')
  title: string

  @description('What to do.')
  advice: string

  @description('0 is critical, 4 is verbose.')
  severity: int

  @description('How far it looks back.')
  window: string

  @description('Lines that are a reason to wake somebody.')
  query: string
}

var events = loadTextContent('../queries/events.kql')
var poison = 'let poisonQueues = dynamic(${string(poisonQueues)});\n'

var alerts { *: Alert } = {
  'cannot-revoke': {
    title: 'The app cannot revoke'
    advice: 'Permission, token or protected list is missing: GET /api/readiness says which, with the command.'
    severity: 1
    window: 'PT15M'
    query: '${events}${loadTextContent('../queries/alerts/cannot-revoke.kql')}'
  }
  'poison-queue': {
    title: 'A message failed again and again'
    advice: 'Look at GET /api/readiness: storage that does not answer is the usual reason. The message is not lost.'
    severity: 1
    window: 'PT15M'
    query: '${events}${poison}${loadTextContent('../queries/alerts/poison-queue.kql')}'
  }
  'protection-incomplete': {
    title: 'The protected list does not protect everybody it names'
    advice: 'GET /api/readiness names the entries that match nobody, and what cannot be read. Correct PROTECTED_USERS and PROTECTED_GROUP.'
    severity: 1
    // Longer than the hour between two looks, or the alert would come and go.
    window: 'PT2H'
    query: '${events}${loadTextContent('../queries/alerts/protection-incomplete.kql')}'
  }
  'requests-failed': {
    title: 'A revocation request failed'
    advice: 'GET /api/revocations?status=failed names each user with what to do.'
    severity: 2
    window: 'PT15M'
    query: '${events}${loadTextContent('../queries/alerts/requests-failed.kql')}'
  }
  'function-errors': {
    title: 'Functions of the app fail'
    advice: 'Open Failures in Application Insights; storage that does not answer is the usual reason.'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('../queries/alerts/function-errors.kql')
  }
  'throttled-for-long': {
    title: 'Graph throttles the app, for more than ten minutes of an hour'
    advice: 'Nothing is lost. Look whether another app in the tenant uses up the write quota.'
    severity: 3
    window: 'PT1H'
    query: '${events}${loadTextContent('../queries/alerts/throttled-for-long.kql')}'
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

resource mail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: '${prefix}-mail'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'revoker'
    enabled: true
    emailReceivers: [{ name: 'mail', emailAddress: email, useCommonAlertSchema: true }]
  }
}

var told = concat(empty(email) ? [] : [resourceId('Microsoft.Insights/actionGroups', '${prefix}-mail')], actionGroupIds)

resource rules 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in items(alerts): {
    name: '${prefix}-${alert.key}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: '${prefix}: ${alert.value.title}'
      description: alert.value.advice
      severity: alert.value.severity
      enabled: true
      scopes: [component.id]
      evaluationFrequency: 'PT5M'
      windowSize: alert.value.window
      autoMitigate: true
      // A component that has not yet received a line may know no table.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: alert.value.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: told }
    }
    dependsOn: [mail]
  }
]
