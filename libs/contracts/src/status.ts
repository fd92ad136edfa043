import type { ReleaseState } from './releases.js';
import type { RolloutStackState, RolloutState } from './rollouts.js';

/** The status vocabulary: one place that gives each state its tone, word and icon, for pages, CLI and mails alike. */
export type Tone = 'ok' | 'work' | 'warn' | 'bad' | 'off' | 'none';

export interface StatusWord {
  tone: Tone;
  /** Key under `status.` in the language files; `word` is the English text. */
  key: string;
  word: string;
  /** A name of @tabler/icons-react without its `Icon` prefix. */
  icon: string;
}

const status = (key: string, tone: Tone, word: string, icon: string): StatusWord => ({ key, tone, word, icon });

export const STACK_STATUS = {
  running: status('stack.running', 'ok', 'Running', 'CircleCheck'),
  queued: status('stack.queued', 'work', 'Queued', 'Hourglass'),
  creating: status('stack.creating', 'work', 'Creating…', 'Loader2'),
  starting: status('stack.starting', 'work', 'Starting…', 'Loader2'),
  stopping: status('stack.stopping', 'work', 'Stopping…', 'Loader2'),
  restarting: status('stack.restarting', 'work', 'Restarting…', 'Loader2'),
  hibernating: status('stack.hibernating', 'work', 'Falling asleep…', 'Loader2'),
  waking: status('stack.waking', 'work', 'Waking up…', 'Loader2'),
  changing: status('stack.changing', 'work', 'Changing…', 'Loader2'),
  restoring: status('stack.restoring', 'work', 'Restoring…', 'Loader2'),
  deleting: status('stack.deleting', 'work', 'Deleting…', 'Loader2'),
  repairing: status('stack.repairing', 'warn', 'Repairing itself', 'Bandage'),
  attention: status('stack.attention', 'bad', 'Needs attention', 'AlertTriangle'),
  asleep: status('stack.asleep', 'off', 'Asleep', 'Moon'),
  stopped: status('stack.stopped', 'off', 'Stopped by you', 'PlayerStop'),
  suspended: status('stack.suspended', 'warn', 'Suspended', 'Lock'),
  unknown: status('stack.unknown', 'none', 'No news', 'CircleDashed'),
  deleted: status('stack.deleted', 'off', 'Deleted', 'Trash'),
} as const satisfies Record<string, StatusWord>;
export type StackStatus = keyof typeof STACK_STATUS;

export const BOT_STATUS = {
  created: status('bot.created', 'off', 'Not started', 'PlayerPlay'),
  running: status('bot.running', 'ok', 'Running', 'PlayerPlay'),
  waiting: status('bot.waiting', 'work', 'Waiting for price', 'ArrowsVertical'),
  paused: status('bot.paused', 'off', 'Paused', 'PlayerPause'),
  stopping: status('bot.stopping', 'work', 'Cancelling orders', 'ArrowBarToDown'),
  stopped: status('bot.stopped', 'off', 'Stopped', 'PlayerStop'),
  finished: status('bot.finished', 'off', 'Finished', 'FlagCheck'),
  locked: status('bot.locked', 'warn', 'Locked', 'ShieldLock'),
  error: status('bot.error', 'bad', 'Stopped by error', 'CircleX'),
} as const satisfies Record<string, StatusWord>;
export type BotStatus = keyof typeof BOT_STATUS;

export const DOMAIN_STATUS = {
  waiting: status('domain.waiting', 'work', 'Waiting for DNS', 'Hourglass'),
  issuing: status('domain.issuing', 'work', 'Getting its certificate', 'Loader2'),
  live: status('domain.live', 'ok', 'Live', 'CircleCheck'),
  failing: status('domain.failing', 'bad', 'Not reachable', 'CircleX'),
} as const satisfies Record<string, StatusWord>;

/** A layer of a stack, as the last look from outside found it. */
export const LAYER_STATUS = {
  ok: status('layer.ok', 'ok', 'Works', 'CircleCheck'),
  bad: status('layer.bad', 'bad', 'Fails', 'CircleX'),
  unknown: status('layer.unknown', 'none', 'Not known', 'CircleDashed'),
  off: status('layer.off', 'off', 'Off', 'PlayerStop'),
} as const satisfies Record<string, StatusWord>;
export type LayerStatus = keyof typeof LAYER_STATUS;

/** Only one that was restored and checked counts as a backup. */
export const BACKUP_STATUS = {
  taking: status('backup.taking', 'work', 'Being taken…', 'Loader2'),
  dumped: status('backup.dumped', 'work', 'Taken', 'Loader2'),
  stored: status('backup.stored', 'work', 'Stored', 'CloudCheck'),
  verified: status('backup.verified', 'ok', 'Restored and checked', 'ShieldCheck'),
  failed: status('backup.failed', 'bad', 'Failed', 'CircleX'),
} as const satisfies Record<string, StatusWord>;

export const RELEASE_STATUS = {
  draft: status('release.draft', 'off', 'Draft', 'Pencil'),
  candidate: status('release.candidate', 'work', 'Candidate', 'Flask'),
  stable: status('release.stable', 'ok', 'Stable', 'CircleCheck'),
  withdrawn: status('release.withdrawn', 'off', 'Withdrawn', 'Ban'),
} as const satisfies Record<ReleaseState, StatusWord>;

export const ROLLOUT_STATUS = {
  planned: status('rollout.planned', 'work', 'Waits to begin', 'Hourglass'),
  running: status('rollout.running', 'work', 'Under way', 'Loader2'),
  paused: status('rollout.paused', 'off', 'Paused', 'PlayerPause'),
  halted: status('rollout.halted', 'bad', 'Halted', 'AlertTriangle'),
  aborted: status('rollout.aborted', 'off', 'Aborted', 'Ban'),
  done: status('rollout.done', 'ok', 'Done', 'CircleCheck'),
} as const satisfies Record<RolloutState, StatusWord>;

export const ROLLOUT_STACK_STATUS = {
  waiting: status('rolloutStack.waiting', 'off', 'Not begun', 'Hourglass'),
  upgrading: status('rolloutStack.upgrading', 'work', 'Upgrading…', 'Loader2'),
  rolling_back: status('rolloutStack.rolling_back', 'warn', 'Going back…', 'ArrowBackUp'),
  done: status('rolloutStack.done', 'ok', 'Upgraded', 'CircleCheck'),
  rolled_back: status('rolloutStack.rolled_back', 'warn', 'Rolled back', 'ArrowBackUp'),
  failed: status('rolloutStack.failed', 'bad', 'Failed', 'CircleX'),
  skipped: status('rolloutStack.skipped', 'off', 'Left out', 'CircleDashed'),
} as const satisfies Record<RolloutStackState, StatusWord>;

export const OPERATION_STATUS = {
  queued: status('operation.queued', 'work', 'Queued', 'Hourglass'),
  running: status('operation.running', 'work', 'Running', 'Loader2'),
  overdue: status('operation.overdue', 'warn', 'Overdue', 'ClockExclamation'),
  done: status('operation.done', 'ok', 'Done', 'CircleCheck'),
  rolled_back: status('operation.rolled_back', 'warn', 'Rolled back', 'ArrowBackUp'),
  failed: status('operation.failed', 'bad', 'Failed', 'CircleX'),
  cancelled: status('operation.cancelled', 'off', 'Cancelled', 'Ban'),
} as const satisfies Record<string, StatusWord>;
export type OperationStatus = keyof typeof OPERATION_STATUS;
