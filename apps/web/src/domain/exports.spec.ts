import type { StackView } from '#libs/contracts';
import { keptOf } from './exports.js';

const MINUTE = 60_000;
const NOW = Date.parse('2026-11-22T12:15:00Z');
/** So many minutes ago. */
const ago = (minutes: number): string => new Date(NOW - minutes * MINUTE).toISOString();
const kept = (status: StackView['status'], since: number, taken: number) =>
  keptOf({ status, since: ago(since) }, ago(taken), NOW);

it.each(['stopped', 'asleep', 'suspended'] as const)(
  'says of one that is %s how much it did after its newest backup',
  (how) => {
    expect(kept(how, 1, 15)).toEqual({ is: 'rested', at: ago(15), how, missingMs: 14 * MINUTE });
    expect(kept(how, 600, 601)).toMatchObject({ is: 'rested', missingMs: MINUTE });
  },
);

it('says of one that runs how old its newest backup is, however young, since it goes on writing', () => {
  expect(kept('running', 3_000, 3)).toEqual({ is: 'writing', at: ago(3), ageMs: 3 * MINUTE });
  expect(kept('running', 3_000, -1)).toMatchObject({ is: 'writing', ageMs: 0 });
});

it('says no more than that it is older where nobody knows what came since', () => {
  expect(kept('attention', 20, 10)).toEqual({ is: 'older', at: ago(10) });
  expect(kept('unknown', 20, 10)).toEqual({ is: 'older', at: ago(10) });
  // It is being brought down, and `since` is when it began to run.
  expect(kept('suspended', 600, 10)).toEqual({ is: 'older', at: ago(10) });
});

it('never takes one for all there is', () => {
  for (const status of ['running', 'stopped', 'asleep', 'suspended', 'attention', 'hibernating', 'unknown'] as const) {
    for (const [since, taken] of [
      [5, 0],
      [0, 5],
      [5, 5],
      [0, 0],
    ] as const) {
      expect(['writing', 'rested', 'older']).toContain(kept(status, since, taken).is);
    }
  }
});

it('knows none where none counts', () => {
  expect(keptOf({ status: 'running', since: ago(1) }, null, NOW)).toEqual({ is: 'none' });
});
