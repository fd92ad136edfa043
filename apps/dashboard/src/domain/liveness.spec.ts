import { STALE_AFTER_MS, livenessOf, reconnectDelayMs } from './liveness.js';

describe('liveness', () => {
  it('is stale after 15 s of silence and live again with the next word', () => {
    expect(livenessOf({ heardAt: 1000, startedAt: 0 }, 1000 + STALE_AFTER_MS)).toBe('live');
    expect(livenessOf({ heardAt: 1000, startedAt: 0 }, 1001 + STALE_AFTER_MS)).toBe('stale');
    expect(livenessOf({ heardAt: 40_000, startedAt: 0 }, 40_001)).toBe('live');
  });

  it('does not claim to connect for ever', () => {
    expect(livenessOf({ heardAt: null, startedAt: 0 }, 10_000)).toBe('connecting');
    expect(livenessOf({ heardAt: null, startedAt: 0 }, 15_001)).toBe('stale');
  });

  it('backs off to half a minute', () => {
    expect([1, 2, 3, 20].map((failures) => reconnectDelayMs(failures, 0.5))).toEqual([1000, 2000, 4000, 30_000]);
    expect(reconnectDelayMs(1, 0)).toBe(750);
    expect(reconnectDelayMs(1, 0.999)).toBeLessThan(1251);
  });
});
