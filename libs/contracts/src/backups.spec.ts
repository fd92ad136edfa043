import { countedLoss, restoreLoss } from './backups.js';

it('counts what a later count has more, in what a person counts a loss in', () => {
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

describe('what a restore loses', () => {
  const chosen = { counts: { fills: 28, orders: 5, bots: 2, candles: 10 } };
  const newest = { counts: { fills: 30, orders: 5, bots: 2 }, takenAt: '2026-11-20T01:14:09.000Z' };
  const present = { at: '2026-11-20T09:00:00.000Z', counts: { fills: 40, orders: 6 } };

  it('is what is there now, where that could be counted, whatever the newest backup holds', () => {
    const counted = {
      lost: [
        { what: 'fills', count: 12 },
        { what: 'orders', count: 1 },
      ],
      countedAt: present.at,
      now: true,
    };
    expect(restoreLoss(chosen, present, newest)).toEqual(counted);
    expect(restoreLoss(chosen, present, undefined)).toEqual(counted);
    // The newest itself, the common case: it has nothing more than itself.
    expect(restoreLoss(newest, present, newest).lost).toEqual([
      { what: 'fills', count: 10 },
      { what: 'orders', count: 1 },
    ]);
  });

  it('is what the newest backup holds more, said to be as of then, where the present could not be counted', () => {
    expect(restoreLoss(chosen, null, newest)).toEqual({
      lost: [{ what: 'fills', count: 2 }],
      countedAt: newest.takenAt,
      now: false,
    });
    expect(restoreLoss(newest, null, newest)).toEqual({ lost: [], countedAt: newest.takenAt, now: false });
  });

  it('says that nothing was counted, not that nothing is lost, where a count is missing', () => {
    const none = { lost: [], countedAt: null, now: false };
    expect(restoreLoss({ counts: null }, present, newest)).toEqual(none);
    expect(restoreLoss(chosen, null, undefined)).toEqual(none);
    expect(restoreLoss(chosen, null, { counts: null, takenAt: newest.takenAt })).toEqual(none);
  });
});
