import type { BackupView } from '#libs/contracts';
import { ageOf, checkedOf, daysOf, lookOf, newestFailure, standingOf } from './backups.js';

const backup = (state: BackupView['state'], rest: Partial<BackupView> = {}): BackupView =>
  ({ state, operationId: 'o1', error: null, ...rest }) as BackupView;
const error = { code: 'BACKUP_FAILED', message: 'No.' };

describe('lookOf', () => {
  it('calls only what was restored and checked good, and what nothing goes on with not under way', () => {
    const looks = (['taking', 'dumped', 'stored', 'verified', 'failed'] as const).map((state) =>
      [lookOf(backup(state), 'o1'), lookOf(backup(state), null)].map(({ status, left }) => [status.tone, left]),
    );
    expect(looks).toEqual([
      [
        ['work', null],
        ['off', 'brokenOff'],
      ],
      [
        ['work', null],
        ['off', 'brokenOff'],
      ],
      [
        ['work', null],
        ['warn', 'notChecked'],
      ],
      [
        ['ok', null],
        ['ok', null],
      ],
      [
        ['bad', null],
        ['bad', null],
      ],
    ]);
  });
});

describe('newestFailure', () => {
  it('is told until a newer one is good', () => {
    const failed = backup('failed', { error });
    const unproven = backup('stored', { error });
    expect(newestFailure([failed, backup('verified')], null)).toBe(failed);
    expect(newestFailure([unproven, backup('verified')], null)).toBe(unproven);
    expect(newestFailure([backup('verified'), failed], null)).toBeNull();
    // not over yet: what the one before came to is what is known
    expect(newestFailure([backup('taking', { operationId: 'o2' }), failed], 'o2')).toBe(failed);
    // nobody's fault: what was before it still is
    const cut = backup('failed', { error: { code: 'OPERATION_CANCELLED', message: 'A stop was asked for instead.' } });
    expect(lookOf(cut, null)).toMatchObject({ status: { tone: 'off' }, left: 'brokenOff' });
    expect(newestFailure([cut, backup('verified')], null)).toBeNull();
    expect(newestFailure([cut, failed], null)).toBe(failed);
    expect(newestFailure([], null)).toBeNull();
  });
});

it('shows the last days in the zone’s calendar, as far back as is known', () => {
  const now = Date.parse('2026-11-21T01:30:00Z');
  const at = (takenAt: string | null, state: BackupView['state'], begunAt = takenAt ?? ''): BackupView =>
    backup(state, { takenAt, begunAt, error: state === 'failed' ? error : null });
  const items = [
    at(null, 'failed', '2026-11-21T01:00:00Z'),
    at('2026-11-20T01:10:00Z', 'verified'),
    at(null, 'failed', '2026-11-20T00:40:00Z'),
    at('2026-11-18T23:30:00Z', 'verified'),
  ];
  const look = (zone: string, complete: boolean) =>
    daysOf(items, { now, zone, days: 5, complete }).map(({ day, state }) => `${day.slice(8)} ${state}`);
  expect(look('UTC', true)).toEqual(['17 none', '18 good', '19 none', '20 good', '21 failed']);
  expect(look('UTC', false)).toEqual(['18 good', '19 none', '20 good', '21 failed']);
  expect(look('Europe/Berlin', true)).toEqual(['17 none', '18 none', '19 good', '20 good', '21 failed']);
});

it('counts days on which nothing changed since a backup as backed up', () => {
  const one = backup('verified', { takenAt: '2026-11-18T02:00:00Z', sameUntil: '2026-11-20T02:10:00Z' });
  const now = Date.parse('2026-11-21T12:00:00Z');
  expect(daysOf([one], { now, zone: 'UTC', days: 5, complete: true }).map(({ state }) => state)).toEqual([
    'none',
    'good',
    'good',
    'good',
    'none',
  ]);
});

it('tells an age in hours up to two days', () => {
  const MINUTE = 60_000;
  expect([-1, MINUTE - 1, MINUTE, 59 * MINUTE, 60 * MINUTE, 47 * 60 * MINUTE, 71 * 60 * MINUTE].map(ageOf)).toEqual([
    { unit: 'moment', count: 0 },
    { unit: 'moment', count: 0 },
    { unit: 'minute', count: 1 },
    { unit: 'minute', count: 59 },
    { unit: 'hour', count: 1 },
    { unit: 'hour', count: 47 },
    { unit: 'day', count: 2 },
  ]);
});

it('calls restored and checked the moment of the check, and not the night that found nothing changed since', () => {
  const verifiedAt = '2026-11-18T02:40:00.000Z';
  const sameUntil = '2026-11-20T02:10:00.000Z';
  expect(checkedOf(null)).toBeNull();
  expect(checkedOf({ verifiedAt: null, sameUntil: null })).toBeNull();
  expect(checkedOf({ verifiedAt, sameUntil: null })).toEqual({ at: verifiedAt, unchangedUntil: null });
  expect(checkedOf({ verifiedAt, sameUntil })).toEqual({ at: verifiedAt, unchangedUntil: sameUntil });
  // Until before it was checked is not since.
  const before = '2026-11-18T02:20:00.000Z';
  expect(checkedOf({ verifiedAt, sameUntil: before })).toEqual({ at: verifiedAt, unchangedUntil: null });
});

it('names the standing of a stack', () => {
  const at = '2026-11-21T01:14:09.000Z';
  expect(standingOf(null)).toBe('none');
  const checked = { takenAt: at, verifiedAt: at, sameUntil: null };
  expect(standingOf({ takenAt: null, verifiedAt: null, sameUntil: null, failed: false })).toBe('none');
  expect(standingOf({ ...checked, failed: false })).toBe('ok');
  expect(standingOf({ ...checked, failed: true })).toBe('failed');
});
