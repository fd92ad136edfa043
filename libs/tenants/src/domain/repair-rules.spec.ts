import { crashLoopOf, decideRepair, DEATHS_TO_BREAK, FAILURES_TO_BREAK, type PastOperation } from './repair-rules.js';

const now = new Date('2026-01-01T12:00:00Z');
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1_000);
const past = (kind: PastOperation['kind'], state: PastOperation['state'], seconds: number): PastOperation => ({
  kind,
  state,
  finishedAt: ago(seconds),
});

it('repairs at once what was as wanted before', () => {
  expect(decideRepair([], now, true)).toEqual({ kind: 'now' });
  expect(decideRepair([past('provision', 'done', 5)], now, true)).toEqual({ kind: 'now' });
  expect(decideRepair([past('repair', 'done', 5), past('start', 'done', 50)], now, true)).toEqual({ kind: 'now' });
});

it('waits twice as long after each failure, a person’s own order counted, and then breaks', () => {
  const history: PastOperation[] = [past('start', 'failed', 1)];
  const waits: unknown[] = [];
  while (history.length < FAILURES_TO_BREAK) {
    const decision = decideRepair(history, now, true);
    waits.push(decision.kind === 'wait' ? (decision.until.getTime() - now.getTime()) / 1_000 : decision.kind);
    history.unshift(past('repair', 'failed', 1));
  }
  expect(waits).toEqual([29, 59, 119]);
  expect(decideRepair(history, now, true)).toEqual({ kind: 'break', failures: FAILURES_TO_BREAK });
  expect(decideRepair([past('repair', 'failed', 31), past('start', 'done', 99)], now, true)).toEqual({ kind: 'now' });
});

it('begins to count anew with what a person asked for and with each success', () => {
  const failures = Array.from({ length: 6 }, () => past('repair', 'failed', 100));
  expect(decideRepair([past('start', 'done', 5), ...failures], now, true)).toEqual({ kind: 'now' });
  expect(decideRepair([past('repair', 'done', 5), ...failures], now, true)).toEqual({ kind: 'now' });
});

it('slows down where something undoes every repair, and never breaks for it', () => {
  const done = (count: number): PastOperation[] => Array.from({ length: count }, () => past('repair', 'done', 1));
  expect(decideRepair(done(4), now, true)).toEqual({ kind: 'now' });
  expect(decideRepair(done(5), now, true)).toEqual({ kind: 'wait', until: new Date(now.getTime() + 29_000) });
  expect(decideRepair(done(20), now, true)).toEqual({ kind: 'wait', until: new Date(now.getTime() + 599_000) });
});

it('leaves alone what a person cancelled, and tries for ever to destroy and to stop', () => {
  expect(decideRepair([past('restart', 'cancelled', 500)], now, true)).toEqual({ kind: 'leave' });
  const rests = Array.from({ length: 9 }, () => past('repair', 'failed', 299));
  expect(decideRepair(rests, now, false)).toEqual({ kind: 'wait', until: new Date(now.getTime() + 1_000) });
  expect(
    decideRepair(
      rests.map((one) => ({ ...one, finishedAt: ago(301) })),
      now,
      false,
    ),
  ).toEqual({ kind: 'now' });
  const destroys = Array.from({ length: 20 }, () => past('destroy', 'failed', 301));
  expect(decideRepair(destroys, now, true)).toEqual({ kind: 'now' });
});

it('calls it a crash loop only when one service died often, lately, and by no operation', () => {
  const deaths = Array.from({ length: DEATHS_TO_BREAK }, (_, at) => ({
    at: ago(60 - at),
    service: 'runtime',
    exitCode: 1,
    outOfMemory: at === 2,
  }));
  expect(crashLoopOf(deaths, null, now)).toMatchObject({
    service: 'runtime',
    times: 5,
    exitCode: 1,
    outOfMemory: true,
  });
  expect(crashLoopOf(deaths, ago(60), now)).toBeNull();
  expect(crashLoopOf(deaths, null, new Date(now.getTime() + 10 * 60_000))).toBeNull();
  expect(crashLoopOf([...deaths.slice(1), { ...deaths[0]!, service: 'redis' }], null, now)).toBeNull();
});
