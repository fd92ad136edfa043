import type { OperationKind, OperationState } from '#libs/contracts';

export interface PastOperation {
  kind: OperationKind;
  state: OperationState;
  finishedAt: Date | null;
}

/** More than any of these rules counts. */
export const PAST_OPERATIONS = 20;
/** Failed one after another, and nothing suggests that the next one would not. */
export const FAILURES_TO_BREAK = 4;
const FIRST_WAIT_MS = 30_000;
const LONGEST_WAIT_MS = 10 * 60_000;
/** Repairs that worked and were undone again: somebody or something is at it. */
const DONE_WITHOUT_WAIT = 5;
const DONE_WINDOW_MS = 10 * 60_000;
/** What is to be gone or to rest is never given up: what is left or runs on costs, may be reached, and may trade. */
const NEVER_GIVEN_UP_MS = 5 * 60_000;

export type RepairDecision =
  | { kind: 'now' }
  | { kind: 'wait'; until: Date }
  /** Nothing more is tried; a person is to be told. */
  | { kind: 'break'; failures: number }
  /** A person ended it half-way and decides what comes next. What ended before it began is none of them. */
  | { kind: 'leave' };

/** How many failed one after another since anything succeeded or a person asked for something, theirs included. */
export function failedRepairs(newestFirst: readonly PastOperation[]): number {
  const end = newestFirst.findIndex(({ kind }) => kind !== 'repair');
  const last = newestFirst[end];
  const repairs = end === -1 ? newestFirst : newestFirst.slice(0, end);
  const counted = last?.state === 'failed' ? [...repairs, last] : repairs;
  const succeeded = counted.findIndex(({ state }) => state !== 'failed');
  return succeeded === -1 ? counted.length : succeeded;
}

/**
 * Whether a stack that is not as wanted is repaired, by its exclusive operations, newest first: at once, after a wait
 * that doubles with each failure, or not any more. What a person asked for begins the count anew. `runs`: whether the
 * stack is to run.
 */
export function decideRepair(newestFirst: readonly PastOperation[], now: Date, runs: boolean): RepairDecision {
  const [newest] = newestFirst;
  if (newest?.state === 'cancelled') {
    return { kind: 'leave' };
  }
  const end = newestFirst.findIndex(({ kind }) => kind !== 'repair');
  const repairs = end === -1 ? newestFirst : newestFirst.slice(0, end);
  const failures = failedRepairs(newestFirst);
  const after = (ms: number): RepairDecision => {
    const until = new Date((newest?.finishedAt ?? now).getTime() + ms);
    return until > now ? { kind: 'wait', until } : { kind: 'now' };
  };
  if (newest?.kind === 'destroy') {
    return after(NEVER_GIVEN_UP_MS);
  }
  if (failures >= FAILURES_TO_BREAK) {
    return runs ? { kind: 'break', failures } : after(NEVER_GIVEN_UP_MS);
  }
  if (failures > 0) {
    return after(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1)));
  }
  const lately = repairs.filter(
    ({ state, finishedAt }) => state === 'done' && finishedAt && now.getTime() - finishedAt.getTime() < DONE_WINDOW_MS,
  ).length;
  return lately < DONE_WITHOUT_WAIT
    ? { kind: 'now' }
    : after(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (lately - DONE_WITHOUT_WAIT)));
}

export interface Death {
  at: Date;
  service: string;
  exitCode: number | null;
  outOfMemory: boolean;
}

export const DEATHS_TO_BREAK = 5;
export const DEATHS_WINDOW_MS = 10 * 60_000;

/**
 * The service that keeps dying although the engine starts it again and again; null where none does. Only what happened
 * after `since` counts: what an operation stops or starts is its own.
 */
export function crashLoopOf(
  deaths: readonly Death[],
  since: Date | null,
  now: Date,
): (Death & { times: number }) | null {
  const recent = deaths.filter(
    ({ at }) => now.getTime() - at.getTime() < DEATHS_WINDOW_MS && (since === null || at > since),
  );
  for (const [, group] of Map.groupBy(recent, ({ service }) => service)) {
    const last = group.at(-1);
    if (last && group.length >= DEATHS_TO_BREAK) {
      return { ...last, outOfMemory: group.some(({ outOfMemory }) => outOfMemory), times: group.length };
    }
  }
  return null;
}
