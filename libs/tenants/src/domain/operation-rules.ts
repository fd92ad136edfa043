import type { DesiredState, HoldReason, OperationKind, OperationState } from '#libs/contracts';
import { isSuspended } from './headline.js';

export interface PhaseRule {
  name: PhaseName;
  deadlineMs: number;
}

export type PhaseName =
  | 'prepare'
  | 'converge'
  | 'health'
  | 'heal'
  | 'publish'
  | 'drain'
  | 'unpublish'
  | 'erase'
  | 'verify'
  | 'idle'
  | 'raise'
  | 'limits'
  | 'renew'
  | 'dump'
  | 'store'
  | 'prove'
  | 'safeguard'
  | 'load'
  | 'swap'
  | 'preflight'
  | 'adopt';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

/** From what is there to an address that answers. */
const UP = [
  { name: 'prepare', deadlineMs: 20 * SECOND },
  { name: 'converge', deadlineMs: 120 * SECOND },
  { name: 'health', deadlineMs: 60 * SECOND },
  { name: 'publish', deadlineMs: 20 * SECOND },
] as const satisfies readonly PhaseRule[];

/** The same where every service may have to be replaced first, with its grace, and a new program adapts its data. */
const UP_ANEW = [
  { name: 'prepare', deadlineMs: 20 * SECOND },
  { name: 'converge', deadlineMs: 240 * SECOND },
  { name: 'health', deadlineMs: 120 * SECOND },
  { name: 'publish', deadlineMs: 20 * SECOND },
] as const satisfies readonly PhaseRule[];

/**
 * The phases of each operation, known when it starts; the page draws them as its progress bar. Deadlines are
 * generous bounds against work that hangs (a stop may wait for every service's grace), not targets.
 */
export const OPERATION_PHASES = {
  provision: UP,
  start: UP,
  stop: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 240 * SECOND },
  ],
  restart: [{ name: 'unpublish', deadlineMs: 20 * SECOND }, { name: 'drain', deadlineMs: 240 * SECOND }, ...UP],
  repair: [
    { name: 'prepare', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 240 * SECOND },
    // May come to a whole restart, with every service's grace.
    { name: 'heal', deadlineMs: 390 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  destroy: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'erase', deadlineMs: 300 * SECOND },
    { name: 'verify', deadlineMs: 30 * SECOND },
  ],
  suspend: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 240 * SECOND },
  ],
  // What comes back is what the owner wants by then; of a stack that is to be stopped, the last three find nothing to do.
  resume: UP,
  hibernate: [
    // Before it is asked for the last time: through a closed door nobody starts a bot behind the answer.
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'idle', deadlineMs: 30 * SECOND },
    { name: 'converge', deadlineMs: 240 * SECOND },
  ],
  wake: [
    // A visitor waits before the gate: the address leads to the stack only when it answers.
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'prepare', deadlineMs: 20 * SECOND },
    { name: 'raise', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  resize: [
    { name: 'limits', deadlineMs: 60 * SECOND },
    // Both left out where the limits were changed under the running stack.
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'drain', deadlineMs: 240 * SECOND },
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  rotate_secrets: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'renew', deadlineMs: 20 * SECOND },
    { name: 'drain', deadlineMs: 240 * SECOND },
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  // Gigabytes at the pace of a disk or a network.
  backup: [
    { name: 'dump', deadlineMs: 4 * HOUR },
    { name: 'store', deadlineMs: 4 * HOUR },
    { name: 'prove', deadlineMs: 4 * HOUR },
  ],
  // The stack goes on until its data lies ready beside it.
  restore: [
    { name: 'safeguard', deadlineMs: 8 * HOUR },
    { name: 'load', deadlineMs: 4 * HOUR },
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'drain', deadlineMs: 240 * SECOND },
    { name: 'swap', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  // Nothing is touched before the backup counts; the address leads to the waiting page while the runtime is away.
  upgrade: [
    { name: 'preflight', deadlineMs: 30 * SECOND },
    { name: 'safeguard', deadlineMs: 8 * HOUR },
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'adopt', deadlineMs: 20 * SECOND },
    ...UP_ANEW,
  ],
  rollback: [{ name: 'unpublish', deadlineMs: 20 * SECOND }, ...UP_ANEW],
} as const satisfies Record<OperationKind, readonly PhaseRule[]>;

/**
 * Beside what is done to the stack, and changing nothing of it. It holds nobody up: whatever is asked for takes its
 * place, and it is begun anew afterwards.
 */
const SHARED: readonly OperationKind[] = ['backup'];

export function isShared(kind: OperationKind): boolean {
  return SHARED.includes(kind);
}

/** Phases before which nothing of the stack was changed, and it goes on as it was whatever becomes of them. */
const BESIDE: Partial<Record<OperationKind, readonly PhaseName[]>> = {
  backup: ['dump', 'store', 'prove'],
  restore: ['safeguard', 'load'],
  upgrade: ['preflight', 'safeguard'],
};

export function leavesStackAlone(kind: OperationKind, phase: PhaseName): boolean {
  return BESIDE[kind]?.includes(phase) === true;
}

/** What the customer wants once this operation was asked for; null leaves it as it is. */
export const DESIRED_AFTER: Record<OperationKind, DesiredState | null> = {
  provision: 'running',
  start: 'running',
  stop: 'stopped',
  restart: 'running',
  destroy: 'deleted',
  suspend: null,
  resume: null,
  hibernate: 'hibernated',
  wake: 'running',
  resize: null,
  rotate_secrets: null,
  repair: null,
  backup: null,
  restore: null,
  upgrade: null,
  rollback: null,
};

/** What would run though somebody holds it; a stack that is held may be stopped and destroyed all the same. */
const RUNS: readonly OperationKind[] = ['start', 'restart', 'wake', 'upgrade'];

/** Whether a hold forbids it. The breaker forbids nothing: starting again is how it is closed. */
export function forbiddenByHold(kind: OperationKind, holds: readonly HoldReason[]): boolean {
  return RUNS.includes(kind) && isSuspended(holds);
}

/**
 * What is wanted again when the operation is cancelled before it began: what was wanted before it, and of a stack that
 * was not made yet, nothing for now. A destroy has no way back.
 */
export function desiredBefore(kind: OperationKind, desired: DesiredState): Exclude<DesiredState, 'deleted'> | null {
  if (kind === 'provision') {
    return 'stopped';
  }
  return kind === 'destroy' || desired === 'deleted' ? null : desired;
}

/** The one transition table of operations; every move is a compare-and-set on `from`. */
export const OPERATION_TRANSITIONS: Record<OperationState, readonly OperationState[]> = {
  queued: ['running', 'cancelled'],
  running: ['done', 'failed', 'cancelled'],
  done: [],
  failed: [],
  cancelled: [],
};

export function mayMove(from: OperationState, to: OperationState): boolean {
  return OPERATION_TRANSITIONS[from].includes(to);
}

/** Whole time an operation may take before a page calls it overdue. */
export function operationDeadlineMs(kind: OperationKind): number {
  return OPERATION_PHASES[kind].reduce((sum, phase) => sum + phase.deadlineMs, 0);
}

/** An operation that is open, and the first of its phases that is not done. */
export interface OpenWork {
  kind: OperationKind;
  phase: PhaseName | null;
}

/** What only brings a stack up, which nobody waits for who wants it down. What is half made is made on by a start. */
const STOPPABLE: readonly OperationKind[] = ['provision', 'start', 'restart', 'wake', 'resume'];

/** A stop finds the stack as it was before, or does itself what is left to do. */
function givesWayToStop({ kind, phase }: OpenWork): boolean {
  return STOPPABLE.includes(kind) || (phase !== null && leavesStackAlone(kind, phase));
}

/**
 * Destroy and suspend are legal from every state and take the place of whatever is open; a stop that of what brings the
 * stack up, and of what has not touched it yet (a backup that goes before may take hours); a repair gives way to
 * whatever a person asks for, which comes to the same end. Everything else is refused while one is open.
 */
export function preempts(kind: OperationKind, open: OpenWork): boolean {
  return (
    kind !== open.kind &&
    (kind === 'destroy' || kind === 'suspend' || open.kind === 'repair' || (kind === 'stop' && givesWayToStop(open)))
  );
}

/**
 * Those that lead to a state. The others do something once more, or anew with what was given: a second restart may be
 * for what changed since the first began, a second resize for another plan.
 */
const TO_A_STATE: readonly OperationKind[] = ['start', 'stop', 'destroy', 'suspend', 'resume', 'hibernate', 'wake'];

/** Asked for again while one is open, it is that one: whoever asks wants the state it leads to. */
export function isSameAs(kind: OperationKind, open: OperationKind): boolean {
  return kind === open && TO_A_STATE.includes(kind);
}

/** Their rows were changed when they were asked for, so that not doing them would leave rows and engine apart. */
const NEVER_CANCELLED: readonly OperationKind[] = ['destroy', 'suspend', 'resume', 'resize', 'rollback'];
/** Past their beginning, going on is the shorter way to a state that is one. */
const NOT_ONCE_BEGUN: readonly OperationKind[] = ['stop', 'hibernate', 'rotate_secrets'];

/** Whether a person may still cancel it without leaving harm behind. One that is in no phase yet, or in that one. */
export function mayCancel(kind: OperationKind, state: OperationState, phase: PhaseName | null = null): boolean {
  if (state === 'running' && phase !== null && BESIDE[kind] !== undefined) {
    return leavesStackAlone(kind, phase);
  }
  return (
    !NEVER_CANCELLED.includes(kind) && (state === 'queued' || (state === 'running' && !NOT_ONCE_BEGUN.includes(kind)))
  );
}
