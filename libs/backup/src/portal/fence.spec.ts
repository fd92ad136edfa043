import type { Snapshot } from '#libs/restic';
import { replacedBy } from '#libs/tenants';
import { fencesOf, nextOrdinal, requireNoLife, signOfLife, straysOf } from './fence.js';
import { storedBackups } from './portal-snapshots.js';

const now = new Date('2026-11-22T12:00:00Z');
const signal = new AbortController().signal;
const ago = (minutes: number): Date => new Date(now.getTime() - minutes * 60_000);

const fence = (ordinal: number, recovery: string, minutes: number): Snapshot => ({
  id: `fence-${recovery}`,
  time: ago(minutes),
  paths: ['/fence.json'],
  tags: ['fence', `ordinal=${ordinal}`, `recovery=${recovery}`],
});
const backup = (id: string, minutes: number, ordinal?: number): Snapshot => ({
  id: `snapshot-${id}`,
  time: ago(minutes),
  paths: ['/portal.dump'],
  tags: [`backup=${id}`, ...(ordinal === undefined ? [] : [`ordinal=${ordinal}`])],
});

describe('of two databases', () => {
  const replaced = (snapshots: Snapshot[], ordinal: number, recovery: string | null): string | undefined =>
    replacedBy(fencesOf(snapshots), { ordinal, recovery })?.recovery;

  it('the one with the newest fence works, and every other one is replaced', () => {
    expect(replaced([], 0, null)).toBeUndefined();
    const once = [backup('a', 100), fence(1, 'first', 60)];
    expect(replaced(once, 0, null)).toBe('first');
    expect(replaced(once, 1, 'first')).toBeUndefined();
    const twice = [...once, fence(2, 'second', 30)];
    expect([0, 1].map((ordinal) => replaced(twice, ordinal, 'first'))).toEqual(['second', 'second']);
    expect(replaced(twice, 2, 'second')).toBeUndefined();
    // The number counts, whatever a clock that is wrong says.
    expect(replaced([fence(2, 'second', 90), fence(1, 'first', 10)], 1, 'first')).toBe('second');
  });

  it('one works where two recoveries were made side by side', () => {
    const both = [fence(1, 'here', 10), fence(1, 'there', 9)];
    expect(replaced(both, 1, 'here')).toBe('there');
    expect(replaced(both, 1, 'there')).toBeUndefined();
  });
});

it('the next recovery is above everything that lies there, also where a fence is gone', () => {
  expect(nextOrdinal([])).toBe(1);
  expect(nextOrdinal([fence(1, 'a', 9), backup('b', 5, 4), backup('c', 3)])).toBe(5);
});

describe('what a replaced host stored afterwards', () => {
  const strays = (snapshots: Snapshot[]): string[] =>
    [...straysOf(storedBackups(snapshots), fencesOf(snapshots))].map(({ id }) => id);

  it('is told from what it stored before, and from the other’s', () => {
    const snapshots = [fence(1, 'a', 50), backup('before', 60), backup('after', 40), backup('new', 30, 1)];
    expect(strays(snapshots)).toEqual(['after']);
  });

  it('is none of what was there when the new host, whose clock is behind, recovered from it', () => {
    const there = [backup('older', 60), backup('source', 40), backup('after', 20)];
    const told = fence(1, 'a', 100);
    told.tags.push('recovered-from=source');
    expect(strays([...there, told])).toEqual(['after']);
    // Fences of before say of which backup they are as little as those whose backup is gone.
    expect(strays([...there, fence(1, 'a', 50)])).toEqual(['after', 'source']);
  });
});

describe('a repository', () => {
  const life = (snapshots: Snapshot[], locks: { time: Date; host: string }[] = []): Promise<string | null> =>
    signOfLife({ snapshots: () => Promise.resolve(snapshots), locks: () => Promise.resolve(locks) }, { now, signal });

  it('is in use by a lock, a snapshot or another recovery of the last minutes, and not by older ones', async () => {
    expect(await life([])).toBeNull();
    expect(await life([backup('old', 16)], [{ time: ago(31), host: 'died' }])).toBeNull();
    expect(await life([fence(1, 'old', 16), backup('old', 17)])).toBeNull();
    expect(await life([backup('old', 16), fence(1, 'elsewhere', 10)])).toContain('a recovery stored its mark');
    expect(await life([backup('new', 14)])).toContain('stored');
    expect(
      await life(
        [],
        [
          { time: ago(31), host: 'died' },
          { time: ago(2), host: 'alive' },
        ],
      ),
    ).toContain('by alive');
  });

  it('that is in use is not recovered from, with why and what to do', async () => {
    const used = { snapshots: () => Promise.resolve([backup('new', 1)]), locks: () => Promise.resolve([]) };
    await expect(requireNoLife(used, { now, signal })).rejects.toMatchObject({
      code: 'WRONG_STATE',
      message: expect.stringMatching(/must never trade the same accounts.*--old-host-is-off.*proves nothing/) as string,
    });
  });
});
