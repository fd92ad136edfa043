import { countedLoss } from './backups.js';

it('counts what the newest backup holds more, in what a person counts a loss in', () => {
  const chosen = { counts: { fills: 28, orders: 5, bots: 2, candles: 10 } };
  const newest = { counts: { fills: 40, orders: 5, bots: 1, candles: 900 } };
  expect(countedLoss(chosen, newest)).toEqual([{ what: 'fills', count: 12 }]);
  expect(countedLoss({ counts: {} }, newest)).toEqual([
    { what: 'fills', count: 40 },
    { what: 'orders', count: 5 },
    { what: 'bots', count: 1 },
  ]);
  for (const nothing of [
    countedLoss(chosen, chosen),
    countedLoss(chosen, undefined),
    countedLoss({ counts: null }, newest),
  ]) {
    expect(nothing).toEqual([]);
  }
});
