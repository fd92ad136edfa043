import type { DesiredState, OperationKind, OperationState } from '#libs/contracts';

export interface PhaseRule {
  name: PhaseName;
  deadlineMs: number;
}

export type PhaseName = 'prepare' | 'converge' | 'health' | 'publish' | 'drain' | 'unpublish' | 'erase' | 'verify';

const SECOND = 1_000;

/**
 * The phases of each operation, known when it starts; the page draws them as its progress bar. Deadlines are
 * generous bounds against work that hangs (a stop may wait for every service's grace), not targets.
 */
export const OPERATION_PHASES = {
  provision: [
    { name: 'prepare', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  start: [
    // A creation that ended early may not have come to it; where it has, nothing is made twice.
    { name: 'prepare', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  stop: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 240 * SECOND },
  ],
  restart: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'drain', deadlineMs: 240 * SECOND },
    { name: 'prepare', deadlineMs: 20 * SECOND },
    { name: 'converge', deadlineMs: 120 * SECOND },
    { name: 'health', deadlineMs: 60 * SECOND },
    { name: 'publish', deadlineMs: 20 * SECOND },
  ],
  destroy: [
    { name: 'unpublish', deadlineMs: 20 * SECOND },
    { name: 'erase', deadlineMs: 300 * SECOND },
    { name: 'verify', deadlineMs: 30 * SECOND },
  ],
} as const satisfies Record<OperationKind, readonly PhaseRule[]>;

/** What the customer wants once this operation was asked for. */
export const DESIRED_AFTER: Record<OperationKind, DesiredState> = {
  provision: 'running',
  start: 'running',
  stop: 'stopped',
  restart: 'running',
  destroy: 'deleted',
};

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

/** Destroy is legal from every state and takes the place of whatever is open; the others wait their turn. */
export function preempts(kind: OperationKind): boolean {
  return kind === 'destroy';
}

/** Whether a person may still cancel it without leaving harm behind; nobody may cancel a destroy. */
export function mayCancel(kind: OperationKind, state: OperationState): boolean {
  return kind !== 'destroy' && (state === 'queued' || (state === 'running' && kind !== 'stop'));
}
