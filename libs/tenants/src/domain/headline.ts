import type { DesiredState, HoldReason, OperationKind, StackStatus } from '#libs/contracts';

export type ObservedState = 'none' | 'running' | 'stopped' | 'partial' | 'failed';

export interface HeadlineInput {
  desired: DesiredState;
  holds: readonly HoldReason[];
  observed: ObservedState;
  checkedAt: Date | null;
  /** Kind of the open operation, and whether it has begun. */
  operation: { kind: OperationKind; started: boolean } | null;
  now: Date;
}

/** Stacks are checked every five minutes; older news than two intervals is no news. */
export const STALE_AFTER_MS = 10 * 60_000;

export function isStale(checkedAt: Date | null, now: Date): boolean {
  return checkedAt === null || now.getTime() - checkedAt.getTime() > STALE_AFTER_MS;
}

/** Null for what goes on beside the stack, which is what it was. */
const WHILE: Record<OperationKind, StackStatus | null> = {
  provision: 'creating',
  start: 'starting',
  stop: 'stopping',
  restart: 'restarting',
  destroy: 'deleting',
  suspend: 'stopping',
  resume: 'starting',
  hibernate: 'hibernating',
  wake: 'waking',
  resize: 'changing',
  rotate_secrets: 'changing',
  repair: 'repairing',
  backup: null,
  prune: null,
  restore: 'restoring',
  undo_restore: 'restoring',
  clone: 'creating',
  upgrade: 'changing',
  rollback: 'changing',
};

/** Held back by somebody's decision; the breaker is the platform's own and its stack a broken one, not a suspended one. */
export function isSuspended(holds: readonly HoldReason[]): boolean {
  return holds.some((hold) => hold !== 'breaker');
}

/**
 * Precedence: deleting > suspended > operation > needs attention > no news > asleep or stopped > running. One that is
 * suspended and seen to run, with nothing at work on it, needs attention: it may be trading.
 */
export function headline(input: HeadlineInput): StackStatus {
  const { desired, holds, observed, operation, checkedAt, now } = input;
  const doing = operation && WHILE[operation.kind];
  if (desired === 'deleted') {
    // A destroy that succeeds takes the row with it: without one at work, this one failed.
    return doing ? 'deleting' : 'attention';
  }
  const runs = observed === 'running' || observed === 'partial';
  if (isSuspended(holds) && (doing || !runs)) {
    return 'suspended';
  }
  if (doing) {
    return operation?.started === true ? doing : 'queued';
  }
  if (holds.includes('breaker') || observed === 'failed' || observed === 'partial') {
    return 'attention';
  }
  if (isStale(checkedAt, now)) {
    return 'unknown';
  }
  if ((desired !== 'running' || holds.length > 0) && runs) {
    return 'attention';
  }
  if (desired === 'hibernated') {
    return 'asleep';
  }
  if (desired === 'stopped') {
    return 'stopped';
  }
  return observed === 'running' ? 'running' : 'attention';
}
