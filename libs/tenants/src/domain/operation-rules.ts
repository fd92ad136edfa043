import type { DesiredState, ErrorDetails, HoldReason, OperationKind, OperationState } from '#libs/contracts';
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
  | 'prune'
  | 'kept'
  | 'safeguard'
  | 'load'
  | 'swap'
  | 'preflight'
  | 'quiesce'
  | 'carry'
  | 'adopt';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

const PREPARE = { name: 'prepare', deadlineMs: 20 * SECOND } as const satisfies PhaseRule;
const PUBLISH = { name: 'publish', deadlineMs: 20 * SECOND } as const satisfies PhaseRule;
const UNPUBLISH = { name: 'unpublish', deadlineMs: 20 * SECOND } as const satisfies PhaseRule;
const DRAIN = { name: 'drain', deadlineMs: 240 * SECOND } as const satisfies PhaseRule;
const LOAD = { name: 'load', deadlineMs: 4 * HOUR } as const satisfies PhaseRule;
const SWAP = { name: 'swap', deadlineMs: 20 * SECOND } as const satisfies PhaseRule;

/** From what the stack is to be to an address that answers. */
const CONVERGED = [
  { name: 'converge', deadlineMs: 120 * SECOND },
  { name: 'health', deadlineMs: 60 * SECOND },
  PUBLISH,
] as const satisfies readonly PhaseRule[];
/** The same from what is there. */
const UP = [PREPARE, ...CONVERGED] as const satisfies readonly PhaseRule[];
/** Stopped while its volumes are exchanged. */
const SWAPPED = [UNPUBLISH, DRAIN, SWAP, ...CONVERGED] as const satisfies readonly PhaseRule[];
/** A stop may wait for every service's grace. */
const DOWN = [UNPUBLISH, { name: 'converge', deadlineMs: 240 * SECOND }] as const satisfies readonly PhaseRule[];

/** The same where every service may have to be replaced first, with its grace, and a new program adapts its data. */
const UP_ANEW = [
  PREPARE,
  { name: 'converge', deadlineMs: 240 * SECOND },
  { name: 'health', deadlineMs: 120 * SECOND },
  // Also has the bots go on, where they were held until the stack stays where it was brought.
  { name: 'publish', deadlineMs: 60 * SECOND },
] as const satisfies readonly PhaseRule[];

/**
 * The phases of each operation, known when it starts; the page draws them as its progress bar. Deadlines are
 * generous bounds against work that hangs (a stop may wait for every service's grace), not targets.
 */
export const OPERATION_PHASES = {
  provision: UP,
  start: UP,
  stop: DOWN,
  restart: [UNPUBLISH, DRAIN, ...UP],
  repair: [
    PREPARE,
    { name: 'converge', deadlineMs: 240 * SECOND },
    // May come to a whole restart, with every service's grace.
    { name: 'heal', deadlineMs: 390 * SECOND },
    PUBLISH,
  ],
  destroy: [
    UNPUBLISH,
    // Its containers, and after them up to four minutes for the objects its backups are in a store.
    { name: 'erase', deadlineMs: 540 * SECOND },
    { name: 'verify', deadlineMs: 30 * SECOND },
  ],
  suspend: DOWN,
  // What comes back is what the owner wants by then; of a stack that is to be stopped, the last three find nothing to do.
  resume: UP,
  hibernate: [
    // Before it is asked for the last time: through a closed door nobody starts a bot behind the answer.
    UNPUBLISH,
    { name: 'idle', deadlineMs: 30 * SECOND },
    { name: 'converge', deadlineMs: 240 * SECOND },
  ],
  wake: [
    // A visitor waits before the gate: the address leads to the stack only when it answers.
    UNPUBLISH,
    PREPARE,
    { name: 'raise', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    PUBLISH,
  ],
  resize: [
    { name: 'limits', deadlineMs: 60 * SECOND },
    // Both left out where the limits were changed under the running stack.
    UNPUBLISH,
    DRAIN,
    ...CONVERGED,
  ],
  rotate_secrets: [UNPUBLISH, { name: 'renew', deadlineMs: 20 * SECOND }, DRAIN, ...CONVERGED],
  // Gigabytes at the pace of a disk or a network.
  backup: [
    { name: 'dump', deadlineMs: 4 * HOUR },
    { name: 'store', deadlineMs: 4 * HOUR },
    { name: 'prove', deadlineMs: 4 * HOUR },
  ],
  prune: [{ name: 'prune', deadlineMs: 4 * HOUR }],
  // The stack goes on until its data lies ready beside it.
  restore: [{ name: 'safeguard', deadlineMs: 8 * HOUR }, LOAD, ...SWAPPED],
  clone: [
    PREPARE,
    LOAD,
    SWAP,
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 120 * SECOND },
    PUBLISH,
  ],
  // Back to the volumes that a restore left as they were.
  undo_restore: [{ name: 'kept', deadlineMs: 30 * SECOND }, ...SWAPPED],
  // Nothing is touched before the backup counts; the address leads to the waiting page while the runtime is away.
  upgrade: [
    { name: 'preflight', deadlineMs: 30 * SECOND },
    { name: 'safeguard', deadlineMs: 8 * HOUR },
    UNPUBLISH,
    // Both left out where the databases stay of one major version.
    { name: 'quiesce', deadlineMs: 240 * SECOND },
    { name: 'carry', deadlineMs: 4 * HOUR },
    { name: 'adopt', deadlineMs: 20 * SECOND },
    ...UP_ANEW,
  ],
  rollback: [UNPUBLISH, ...UP_ANEW],
} as const satisfies Record<OperationKind, readonly PhaseRule[]>;

/**
 * Beside what is done to the stack, and changing nothing of it. It holds nobody up: whatever is asked for takes its
 * place, and it is begun anew afterwards.
 */
const SHARED: readonly OperationKind[] = ['backup', 'prune'];

export function isShared(kind: OperationKind): boolean {
  return SHARED.includes(kind);
}

/** Whether backups go with it: not while one is copied or downloaded, since what is read may be the only source there is. */
export function removesBackups(kind: OperationKind): boolean {
  return kind === 'prune' || kind === 'destroy';
}

/** Phases before which nothing of the stack was changed, and it goes on as it was whatever becomes of them. */
export const BESIDE: Partial<Record<OperationKind, readonly PhaseName[]>> = {
  backup: ['dump', 'store', 'prove'],
  prune: ['prune'],
  restore: ['safeguard', 'load'],
  undo_restore: ['kept'],
  upgrade: ['preflight', 'safeguard'],
};

export function leavesStackAlone(kind: OperationKind, phase: PhaseName): boolean {
  return BESIDE[kind]?.includes(phase) === true;
}

/**
 * Where an operation comes to the stack itself: its last phase beside the stack, and the first that touches it. With the
 * end of the first nobody calls it off any more. Null for what has not both.
 */
export function crossingOf(kind: OperationKind): { from: PhaseName; to: PhaseName } | null {
  const from = BESIDE[kind]?.at(-1);
  const rules: readonly PhaseRule[] = OPERATION_PHASES[kind];
  const to = rules.find(({ name }) => !leavesStackAlone(kind, name));
  return from === undefined || to === undefined ? null : { from, to: to.name };
}

/**
 * In the details of an error: what ended by it had led the address away and led it back, and the stack goes on as it
 * was. Refused, not failed.
 */
export const UNTOUCHED = { untouched: true } as const;

export function isUntouched({ details }: { details: ErrorDetails }): boolean {
  return details['untouched'] === UNTOUCHED.untouched;
}

/** Of operations that wait for a place together. */
export type Lane = 'swift' | 'repair' | 'copy' | 'restore' | 'upgrade';

/** What may take hours has places of its own: nobody who stops or starts a stack waits for it. */
export const LANE_OF: Record<OperationKind, Lane> = {
  provision: 'swift',
  start: 'swift',
  stop: 'swift',
  restart: 'swift',
  destroy: 'swift',
  suspend: 'swift',
  resume: 'swift',
  hibernate: 'swift',
  wake: 'swift',
  resize: 'swift',
  rotate_secrets: 'swift',
  undo_restore: 'swift',
  rollback: 'swift',
  repair: 'repair',
  backup: 'copy',
  prune: 'copy',
  restore: 'restore',
  clone: 'restore',
  upgrade: 'upgrade',
};

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
  prune: null,
  undo_restore: null,
  clone: 'running',
  restore: null,
  upgrade: null,
  rollback: null,
};

/** What would run it, or a copy of it, though somebody holds it; it may be stopped and destroyed all the same. */
const RUNS: readonly OperationKind[] = ['start', 'restart', 'wake', 'upgrade', 'clone'];

/** Whether a hold forbids it. The breaker forbids nothing: starting again is how it is closed. */
export function forbiddenByHold(kind: OperationKind, holds: readonly HoldReason[]): boolean {
  return RUNS.includes(kind) && isSuspended(holds);
}

/**
 * What is wanted again when the operation is cancelled before it began: what was wanted before it, and of a stack that
 * was not made yet, nothing for now. A destroy has no way back.
 */
export function desiredBefore(kind: OperationKind, desired: DesiredState): Exclude<DesiredState, 'deleted'> | null {
  if (kind === 'provision' || kind === 'clone') {
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

/**
 * From the moment an operation led the stack's address to the waiting page until it led to the stack again, in
 * milliseconds; null where it did not do both.
 */
export function outageOf(
  steps: readonly {
    phase: string;
    action: string | null;
    state: string;
    startedAt: Date | null;
    finishedAt: Date | null;
  }[],
): number | null {
  const phase = (name: PhaseName) => steps.find((step) => step.phase === name && step.action === null);
  const since = phase('unpublish')?.startedAt;
  const back = phase('publish');
  return since && back?.state === 'done' && back.finishedAt ? back.finishedAt.getTime() - since.getTime() : null;
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
 * Destroy and suspend are legal from every state of the stack and take the place of whatever is open on it; a stop that of what brings the
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
