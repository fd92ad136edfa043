/** What stacks and hosts use. */
export const usage = {
  title: 'Use',
  loadFailed: 'What the stack uses could not be loaded',
  hostsFailed: 'What the hosts use could not be loaded',
  nothing: 'Nothing was measured in this time.',
  noNews: 'Nothing was measured in the last minutes.',
  notYet: 'not measured yet',
  measured: 'Measured',
  range: 'Time',
  ranges: { hour: '1 h', day: '1 d', week: '7 d', month: '31 d', year: '1 y' },
  chart: 'Figure',
  charts: { memory: 'Memory', cpu: 'Processor', network: 'Network', disk: 'Disk' },
  asTable: 'As a table',
  asChart: 'As a chart',
  time: 'Time',
  of: '{{used}} of {{limit}}',
  cores: '{{value}} cores',
  perSecond: '{{value}}/s',
  memoryOf: 'Memory of {{service}}',
  alerts: {
    warn: '{{what}}: {{percent}} % of its limit is used.',
    bad: '{{what}}: {{percent}} % of its limit is used. Little is left.',
  },
  growth_one:
    'Memory of {{service}} only grows, by {{pace}} an hour. In about {{count}} hour it reaches its limit and is restarted.',
  growth_other:
    'Memory of {{service}} only grows, by {{pace}} an hour. In about {{count}} hours it reaches its limit and is restarted.',
  summary: '{{what}}: between {{low}} and {{high}}.',
  host: 'Host {{name}}',
};
