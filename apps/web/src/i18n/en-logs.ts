/** What a stack's services write. */
export const logs = {
  title: 'Log',
  service: 'Service',
  search: 'Search the last lines',
  find: 'Find',
  follow: 'Follow',
  pause: 'Pause',
  loadFailed: 'The log could not be loaded',
  nothing: 'No lines.',
  found_one: '{{count}} line of the last {{searched}}',
  found_other: '{{count}} lines of the last {{searched}}',
  gap_one: '… {{count}} line is missing: they came faster than they could be shown …',
  gap_other: '… {{count}} lines are missing: they came faster than they could be shown …',
  toEnd: 'To the newest line',
};
