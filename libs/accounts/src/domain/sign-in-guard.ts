export const FAILURES_TO_LOCK = 5;
export const LOCK_MS = 15 * 60_000;
/** Failures are forgotten this long after the last one. */
export const FORGET_MS = 60 * 60_000;

export interface GuardState {
  failures: number;
  lockedUntil: Date | null;
  updatedAt: Date;
}

export type Attempt = { allowed: true; next: GuardState } | { allowed: false; next: GuardState; lockedUntil: Date };

/**
 * Counts an attempt before its password is checked, so that attempts made at the same time cannot all slip through:
 * the fifth may still succeed, the sixth is refused. A success removes the guard altogether.
 */
export function countAttempt(guard: GuardState | null, now: Date): Attempt {
  if (guard?.lockedUntil && guard.lockedUntil > now) {
    return { allowed: false, next: guard, lockedUntil: guard.lockedUntil };
  }
  const stale = !guard || guard.lockedUntil !== null || now.getTime() - guard.updatedAt.getTime() > FORGET_MS;
  const failures = stale ? 1 : guard.failures + 1;
  if (failures > FAILURES_TO_LOCK) {
    const lockedUntil = new Date(now.getTime() + LOCK_MS);
    return { allowed: false, next: { failures, lockedUntil, updatedAt: now }, lockedUntil };
  }
  return { allowed: true, next: { failures, lockedUntil: null, updatedAt: now } };
}

/** After a wrong password: the fifth failure locks. */
export function lockAfterFailure(failures: number, now: Date): Date | null {
  return failures >= FAILURES_TO_LOCK ? new Date(now.getTime() + LOCK_MS) : null;
}
