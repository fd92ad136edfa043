import { assert, array, constantFrom, date, integer, property, record, boolean } from 'fast-check';
import { dayOf, expired, type KnownBackup, type RetentionPolicy } from './retention.js';

const now = new Date('2026-11-21T12:00:00Z');
const DAY = 86_400_000;
const policy: RetentionPolicy = { last: 1, daily: 3, weekly: 2, monthly: 2 };
const at = (iso: string, change: Partial<KnownBackup> = {}): KnownBackup => ({
  id: iso,
  takenAt: new Date(iso),
  state: 'verified',
  held: false,
  ...change,
});
const kept = (backups: KnownBackup[], rule = policy, zone = 'UTC'): string[] => {
  const gone = new Set(expired(backups, rule, zone, now));
  return backups.filter(({ id }) => !gone.has(id)).map(({ id }) => id);
};

it('keeps the newest good one of each of so many days, weeks and months', () => {
  const daily = Array.from({ length: 90 }, (_unused, index) =>
    at(new Date(Date.parse('2026-11-21T02:00:00Z') - index * DAY).toISOString()),
  );
  const manual = at('2026-11-20T18:00:00.000Z');
  expect(kept([...daily, manual]).toSorted()).toEqual([
    '2026-10-31T02:00:00.000Z', // month before
    '2026-11-15T02:00:00.000Z', // Sunday: the last of the week before
    '2026-11-19T02:00:00.000Z',
    '2026-11-20T18:00:00.000Z', // of two on one day the newer
    '2026-11-21T02:00:00.000Z', // today, this week, this month
  ]);
});

it('counts days that have a backup, not days that passed', () => {
  const old = ['2024-01-03T02:00:00Z', '2024-01-02T02:00:00Z', '2023-12-31T02:00:00Z', '2023-12-30T02:00:00Z'].map(
    (iso) => at(iso),
  );
  expect(kept(old, { last: 0, daily: 3, weekly: 0, monthly: 0 })).toHaveLength(3);
});

it('keeps the last ones whatever the day', () => {
  const day = ['08', '09', '10', '11'].map((hour) => at(`2026-11-20T${hour}:00:00Z`));
  expect(kept(day, { last: 3, daily: 1, weekly: 0, monthly: 0 })).toEqual(day.slice(1).map(({ id }) => id));
});

it('removes none that is good and younger than a day, however many there are', () => {
  const hours = [1, 2, 3, 23, 25, 26].map((hour) => at(new Date(now.getTime() - hour * 3_600_000).toISOString()));
  const failed = at('2026-11-21T11:30:00Z', { state: 'failed' });
  const rule = { last: 1, daily: 1, weekly: 0, monthly: 0 };
  expect(kept([...hours, at('2026-11-21T11:45:00Z'), failed], rule)).toEqual([
    ...hours.slice(0, 4).map(({ id }) => id),
    '2026-11-21T11:45:00Z',
  ]);
});

it('takes days as the zone has them', () => {
  const evening = at('2026-11-19T23:30:00Z');
  const night = at('2026-11-20T00:30:00Z');
  const rule = { last: 0, daily: 2, weekly: 0, monthly: 0 };
  expect(kept([evening, night], rule, 'UTC')).toHaveLength(2);
  expect(kept([evening, night], rule, 'Europe/Helsinki')).toEqual([night.id]);
  expect(dayOf(new Date('2026-03-29T22:30:00Z'), 'Europe/Berlin')).toBe('2026-03-30');
});

it('knows the weeks around a new year', () => {
  // 2021-01-01 was a Friday: with the Monday before it of week 53 of 2020.
  const week = [at('2020-12-28T02:00:00Z'), at('2021-01-01T02:00:00Z'), at('2021-01-04T02:00:00Z')];
  expect(kept(week, { last: 0, daily: 0, weekly: 2, monthly: 0 })).toEqual([
    '2021-01-01T02:00:00Z',
    '2021-01-04T02:00:00Z',
  ]);
});

it('FM-20 removes nothing while the newest is not verified', () => {
  const many = Array.from({ length: 30 }, (_unused, index) =>
    at(new Date(now.getTime() - (index + 1) * DAY).toISOString()),
  );
  for (const state of ['dumped', 'stored', 'failed'] as const) {
    expect(kept([at('2026-11-21T11:00:00Z', { state }), ...many])).toHaveLength(31);
  }
});

it('FM-20 whatever there is, the newest verified one stays, and what is held; nothing goes that retention keeps', () => {
  const backup = record({
    takenAt: date({ min: new Date('2025-01-01'), max: now, noInvalidDate: true }),
    state: constantFrom('dumped' as const, 'stored' as const, 'verified' as const, 'failed' as const),
    held: boolean(),
  });
  const rule = record({
    last: integer({ min: 0, max: 5 }),
    daily: integer({ min: 0, max: 10 }),
    weekly: integer({ min: 0, max: 5 }),
    monthly: integer({ min: 0, max: 5 }),
  });
  assert(
    property(array(backup, { maxLength: 60 }), rule, (found, limits) => {
      const backups = found.map((each, index) => ({ ...each, id: String(index) }));
      const gone = new Set(expired(backups, limits, 'Europe/Berlin', now));
      const verified = backups.filter(({ state }) => state === 'verified');
      const newest = Math.max(...verified.map(({ takenAt }) => takenAt.getTime()));
      const stays = verified.some(({ id, takenAt }) => takenAt.getTime() === newest && !gone.has(id));
      return (
        (verified.length === 0 || stays) &&
        backups.every(({ id, held }) => !held || !gone.has(id)) &&
        // Again with what is left nothing more goes: it comes to rest.
        expired(
          backups.filter(({ id }) => !gone.has(id)),
          limits,
          'Europe/Berlin',
          now,
        ).length === 0
      );
    }),
    { numRuns: 500 },
  );
});
