import { countAttempt, FORGET_MS, LOCK_MS, lockAfterFailure, type GuardState } from './sign-in-guard.js';

const now = new Date('2026-01-01T12:00:00Z');
const later = (ms: number): Date => new Date(now.getTime() + ms);
const guard = (failures: number, lockedUntil: Date | null = null): GuardState => ({
  failures,
  lockedUntil,
  updatedAt: now,
});

describe('sign-in guard', () => {
  it('lets five attempts pass and refuses the sixth, even when none has been judged yet', () => {
    let state: GuardState | null = null;
    const allowed = [];
    for (let turn = 0; turn < 7; turn += 1) {
      const attempt = countAttempt(state, now);
      allowed.push(attempt.allowed);
      state = attempt.next;
    }
    expect(allowed).toEqual([true, true, true, true, true, false, false]);
  });

  it('locks for 15 minutes from the fifth failure, and a refused attempt does not prolong it', () => {
    expect(lockAfterFailure(4, now)).toBeNull();
    const lockedUntil = lockAfterFailure(5, now);
    expect(lockedUntil).toEqual(later(LOCK_MS));
    const refused = countAttempt(guard(5, lockedUntil), later(LOCK_MS - 1));
    expect(refused).toMatchObject({ allowed: false, lockedUntil });
    expect(countAttempt(refused.next, later(LOCK_MS))).toMatchObject({ allowed: true, next: { failures: 1 } });
  });

  it('forgets old failures', () => {
    expect(countAttempt(guard(4), later(FORGET_MS + 1)).next.failures).toBe(1);
    expect(countAttempt(guard(4), later(FORGET_MS - 1)).next.failures).toBe(5);
  });
});
