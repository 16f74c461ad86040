// The figures of the status log as charts: one per file of queries/workbook, over the app's own log lines.
import { Tags } from '../types.bicep'

@description('Title in the portal.')
param title string

@description('Name of the Application Insights component.')
param insightsName string

@description('Azure region.')
param location string

@description('Tags.')
param tags Tags

@description('One picture of the workbook.')
type Chart = {
  @description('Heading.')
  title: string

  @description('Kind of picture.')
  picture: 'timechart' | 'barchart' | 'table'

  @description('What is asked.')
  query: string
}

var charts Chart[] = [
  {
    title: 'Requests, by their last word'
    picture: 'barchart'
    query: loadTextContent('../queries/workbook/requests-by-status.kql')
  }
  {
    title: 'Requests accepted, by door'
    picture: 'timechart'
    query: loadTextContent('../queries/workbook/requests-by-door.kql')
  }
  {
    title: 'Users sent to Graph, and its answers'
    picture: 'timechart'
    query: loadTextContent('../queries/workbook/users.kql')
  }
  {
    title: 'Pauses that Graph asked for, in seconds'
    picture: 'timechart'
    query: loadTextContent('../queries/workbook/pauses.kql')
  }
  {
    title: 'Why requests wait'
    picture: 'barchart'
    query: loadTextContent('../queries/workbook/waiting.kql')
  }
  {
    title: 'Messages refused, by reason'
    picture: 'barchart'
    query: loadTextContent('../queries/workbook/messages-refused.kql')
  }
  {
    title: 'Faults, and where they come from'
    picture: 'table'
    query: loadTextContent('../queries/workbook/faults.kql')
  }
]

var events = loadTextContent('../queries/events.kql')

resource component 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

var pictures = [
  for (chart, index) in charts: {
    type: 3
    name: 'chart-${index}'
    content: {
      version: 'KqlItem/1.0'
      title: chart.title
      query: '${events}${chart.query}'
      queryType: 0
      resourceType: 'microsoft.insights/components'
      visualization: chart.picture
      timeContextFromParameter: 'time'
    }
  }
]

var timeRange = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      {
        id: guid(component.id, 'time')
        version: 'KqlParameterItem/1.0'
        name: 'time'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 604800000 }
        typeSettings: {
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 86400000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
          allowCustom: true
        }
      }
    ]
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(component.id, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    category: 'workbook'
    displayName: title
    sourceId: component.id
    serializedData: string({ version: 'Notebook/1.0', items: concat([timeRange], pictures), isLocked: false })
  }
}
