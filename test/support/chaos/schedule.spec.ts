import { FAULTS, scheduleOf, shuffled } from './schedule.js';

const SECONDS = 100;
const CUSTOMERS = 7;
const schedule = (seed: number) => scheduleOf(seed, SECONDS, CUSTOMERS);

it('a seed gives the same schedule each time, and another seed another in every respect', () => {
  expect(schedule(7)).toEqual(schedule(7));
  for (const part of ['at', 'kind', 'customer', 'service', 'away'] as const) {
    const of = (seed: number): unknown[] => schedule(seed).map((fault) => fault[part]);
    expect({ part, same: JSON.stringify(of(1)) === JSON.stringify(of(2)) }).toEqual({ part, same: false });
  }
});

it.each([1, 2, 3, 99])(
  'with seed %d every fault comes once before any comes again, and so does every customer',
  (seed) => {
    const faults = schedule(seed);
    /** As many as there are of them, so what has all has none twice. */
    const turns = (all: readonly unknown[], length: number): Set<unknown>[] =>
      Array.from(
        { length: Math.floor(all.length / length) },
        (_, turn) => new Set(all.slice(turn * length, (turn + 1) * length)),
      );
    const kinds = turns(
      faults.map(({ kind }) => kind),
      FAULTS.length,
    );
    expect(kinds).toEqual([new Set(FAULTS), new Set(FAULTS)]);
    const everyone = new Set(Array.from({ length: CUSTOMERS }, (_, number) => number));
    const met = turns(
      faults.map(({ customer }) => customer),
      CUSTOMERS,
    );
    expect(met).toEqual([everyone, everyone]);
    // A second turn is not the first one again.
    expect(faults.slice(0, FAULTS.length).map(({ kind }) => kind)).not.toEqual(
      faults.slice(FAULTS.length, 2 * FAULTS.length).map(({ kind }) => kind),
    );
  },
);

it('faults are in the order of their time, within the run, and end', () => {
  for (const seed of [1, 2, 3, 99]) {
    const times = schedule(seed).map(({ at }) => at);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...times)).toBeLessThanOrEqual(SECONDS);
    for (const { away } of schedule(seed)) {
      expect(away).toBeGreaterThanOrEqual(1);
      expect(away).toBeLessThanOrEqual(6);
    }
  }
});

it('an order by seed and key has every item once and is another for another key', () => {
  const items = Array.from({ length: 20 }, (_, number) => number);
  expect(shuffled(items, 1, 'a').toSorted((a, b) => a - b)).toEqual(items);
  expect(shuffled(items, 1, 'a')).toEqual(shuffled(items, 1, 'a'));
  expect(shuffled(items, 1, 'a')).not.toEqual(shuffled(items, 1, 'b'));
});
