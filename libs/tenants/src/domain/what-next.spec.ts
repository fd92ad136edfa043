import type { PastOperation } from './repair-rules.js';
import { whatNext, type WhatNextInput } from './what-next.js';

const now = new Date('2026-03-01T12:00:00Z');
const failed = (secondsAgo: number, kind: PastOperation['kind'] = 'repair'): PastOperation => ({
  kind,
  state: 'failed',
  finishedAt: new Date(now.getTime() - secondsAgo * 1_000),
});
const next = (change: Partial<WhatNextInput>) =>
  whatNext({
    status: 'attention',
    desired: 'running',
    holds: [],
    reasonCode: null,
    reasonParams: null,
    past: [],
    now,
    ...change,
  });

describe('what happens next to a stack', () => {
  it('is nothing of note while it runs or something is at work', () => {
    for (const status of ['running', 'queued', 'starting', 'repairing', 'deleting'] as const) {
      expect(next({ status })).toBeNull();
    }
  });

  it('is what its state is waiting for', () => {
    const kinds = (['asleep', 'stopped', 'suspended', 'unknown'] as const).map((status) => next({ status })?.kind);
    expect(kinds).toEqual(['visit', 'start', 'resume', 'look']);
  });

  it('is the next repair, at its time, counted as the reconciler counts', () => {
    expect(next({})).toEqual({ kind: 'repair', at: null, attempt: { number: 1, of: 4 } });
    expect(next({ past: [failed(10)] })).toEqual({
      kind: 'repair',
      at: '2026-03-01T12:00:20.000Z',
      attempt: { number: 2, of: 4 },
    });
    expect(next({ past: [failed(40), failed(120), failed(200, 'start')] })).toMatchObject({
      at: '2026-03-01T12:01:20.000Z',
      attempt: { number: 4, of: 4 },
    });
  });

  it('is a person’s turn once repair gave up, a person ended it half-way, or data is gone', () => {
    expect(next({ past: [1, 2, 3, 4].map((minute) => failed(minute * 60)) })?.kind).toBe('person');
    expect(next({ past: [{ ...failed(10), state: 'cancelled' }] })?.kind).toBe('person');
    expect(next({ holds: ['breaker'] })?.kind).toBe('person');
    expect(next({ reasonCode: 'DATA_MISSING' })?.kind).toBe('person');
  });

  it('is no repair of the stack where only the way to it fails, however often it was repaired before', () => {
    const by = (layer: string) => ({ reasonCode: 'HEALTH_GATE_FAILED', reasonParams: { layer } }) as const;
    const past = [1, 2, 3, 4].map((minute) => failed(minute * 60));
    expect(next(by('route'))).toEqual({ kind: 'route', at: null, attempt: null });
    expect(next({ ...by('route'), past })?.kind).toBe('route');
    expect(next(by('runtime'))?.kind).toBe('repair');
    expect(next({ ...by('route'), holds: ['breaker'] })?.kind).toBe('person');
  });

  it('is another try of a destroy, however often it failed', () => {
    const past = Array.from({ length: 9 }, (_unused, minute) => failed(60 + minute * 300, 'destroy'));
    expect(next({ desired: 'deleted', past })).toEqual({
      kind: 'repair',
      at: '2026-03-01T12:04:00.000Z',
      attempt: null,
    });
  });
});
