import {
  BACKUP_STATUS,
  BOT_STATUS,
  DOMAIN_STATUS,
  LAYER_STATUS,
  ERROR_TEXT,
  OPERATION_STATUS,
  RELEASE_STATUS,
  ROLLOUT_STACK_STATUS,
  ROLLOUT_STATUS,
  STACK_STATUS,
  type StatusWord,
} from '#libs/contracts';

/** English words of statuses stand once, in the vocabulary; other languages translate its keys. */
function words(group: Record<string, StatusWord>): Record<string, string> {
  return Object.fromEntries(
    Object.values(group).map((status) => [status.key.split('.')[1] ?? status.key, status.word]),
  );
}

export const en = {
  status: {
    stack: words(STACK_STATUS),
    bot: words(BOT_STATUS),
    operation: words(OPERATION_STATUS),
    domain: words(DOMAIN_STATUS),
    backup: words(BACKUP_STATUS),
    layer: words(LAYER_STATUS),
    release: words(RELEASE_STATUS),
    rollout: words(ROLLOUT_STATUS),
    rolloutStack: words(ROLLOUT_STACK_STATUS),
  },
  /** By error code; the English ones stand once, beside the codes. */
  errors: { ...ERROR_TEXT },
  noNewsSince: 'No news since {{time}}',
  ago: {
    now: 'just now',
    second_one: '{{count}} s ago',
    second_other: '{{count}} s ago',
    minute_one: '{{count}} min ago',
    minute_other: '{{count}} min ago',
  },
  asOf: 'as of {{time}}',
  connection: {
    live: 'Live',
    connecting: 'Connecting',
    stale: 'Reconnecting',
    offline: 'Offline',
    liveHint: 'Changes appear by themselves.',
    connectingHint: 'Opening the live connection.',
    staleHint: 'Nothing heard for a while. What you see may be old; trying again.',
    offlineHint: 'This device has no network. What you see was read before.',
  },
  offlineBanner: 'You are offline. What you see was read before; changes are switched off until you are back.',
  zone: { label: 'Time zone', local: 'Times in {{zone}}. Switch to UTC', utc: 'Times in UTC. Switch to {{zone}}' },
  scheme: { toDark: 'Switch to dark colours', toLight: 'Switch to light colours' },
  language: 'Language',
  copy: 'Copy',
  copied: 'Copied',
  retry: 'Try again',
  cancel: 'Cancel',
  close: 'Close',
  error: {
    title: 'This could not be loaded',
    id: 'Error id',
    copyId: 'Copy error id',
    next: 'Quote the error id when you ask for help.',
    unknown: 'Something unexpected happened.',
  },
  confirm: { typeToConfirm: 'Type {{slug}} to confirm', doesNotMatch: 'This is not {{slug}}.' },
  steps: {
    label: 'Steps',
    pending: 'Not started',
    running: 'Running',
    done: 'Done',
    failed: 'Failed',
    skipped: 'Skipped',
    details_one: '{{count}} action',
    details_other: '{{count}} actions',
  },
  keys: {
    title: 'Keyboard shortcuts',
    help: 'Show this list',
    single: 'Single-key shortcuts',
    singleHint: 'Switch them off if they get in the way of speech input.',
    none: 'This page has no shortcuts of its own.',
    followedBy: 'then',
    open: 'Keyboard shortcuts',
  },
  palette: {
    open: 'Find a page or an action',
    keys: 'Ctrl K',
    label: 'What are you looking for?',
    none: 'Nothing is called that.',
    results: 'Pages and actions',
  },
  skip: 'Skip to content',
};
