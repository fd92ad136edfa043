import { livenessOf, reconnectDelayMs, STALE_AFTER_MS } from './liveness.js';

describe('livenessOf', () => {
  const startedAt = 1_000_000;
  const pulse = { heardAt: null, startedAt, online: true };
  it('goes from connecting to live to stale', () => {
    expect(livenessOf(pulse, startedAt + 1)).toBe('connecting');
    expect(livenessOf({ ...pulse, heardAt: startedAt + 5 }, startedAt + 10)).toBe('live');
    expect(livenessOf({ ...pulse, heardAt: startedAt }, startedAt + STALE_AFTER_MS + 1)).toBe('stale');
  });
  it('does not connect for ever, and says offline first', () => {
    expect(livenessOf(pulse, startedAt + STALE_AFTER_MS + 1)).toBe('stale');
    expect(livenessOf({ ...pulse, online: false }, startedAt)).toBe('offline');
  });
});

describe('reconnectDelayMs', () => {
  it('doubles to a ceiling and spreads', () => {
    expect([1, 2, 3].map((n) => reconnectDelayMs(n, 0.5))).toEqual([1000, 2000, 4000]);
    expect(reconnectDelayMs(20, 0.5)).toBe(30_000);
    expect(reconnectDelayMs(1, 0)).toBe(750);
    expect(reconnectDelayMs(1, 1)).toBe(1250);
  });
});
