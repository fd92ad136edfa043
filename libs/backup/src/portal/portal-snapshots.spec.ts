import type { Snapshot } from '#libs/restic';
import { expired, PORTAL_RETENTION } from '#libs/tenants';
import { fencesOf } from './fence.js';
import { knownBackup, storedBackups } from './portal-snapshots.js';

const now = new Date('2026-11-22T12:00:00Z');
let made = 0;

/** The snapshots of a backup that came so far, `days` ago. */
function backup(id: string, days: number, files = ['portal.dump', 'manifest.json', 'verified.json']): Snapshot[] {
  return files.map((file, index) => ({
    id: `snapshot-${(made += 1)}`,
    time: new Date(now.getTime() - days * 86_400_000 + index * 1_000),
    paths: [`/${file}`],
    tags: [`backup=${id}`],
  }));
}

const gone = (snapshots: Snapshot[]): string[] =>
  expired(
    storedBackups(snapshots).map((one) => knownBackup(one, fencesOf(snapshots))),
    PORTAL_RETENTION,
    'UTC',
    now,
  );

it('tells what a backup is by what lies in the repository, the newest first', () => {
  const snapshots = [
    ...backup('whole', 3),
    ...backup('unproven', 2, ['portal.dump', 'manifest.json']),
    ...backup('broken', 1, ['portal.dump']),
    { id: 'foreign', time: now, paths: ['/x'], tags: [] },
  ];
  expect(storedBackups(snapshots).map(({ id }) => id)).toEqual(['broken', 'unproven', 'whole']);
  expect(storedBackups(snapshots).map((one) => knownBackup(one).state)).toEqual(['failed', 'stored', 'verified']);
});

it('FM-20 removes nothing while the newest is not verified, and the last verified one never', () => {
  const many = Array.from({ length: 40 }, (_unused, index) => backup(`old-${index}`, index + 2)).flat();
  expect(gone([...many, ...backup('unproven', 1, ['portal.dump', 'manifest.json'])])).toEqual([]);
  expect(gone([...many, ...backup('broken', 1, ['portal.dump'])])).toEqual([]);
  const kept = 40 - gone(many).length;
  expect(kept).toBeGreaterThanOrEqual(7);
  expect(kept).toBeLessThan(15);
  expect(gone(many)).not.toContain('old-0');
  expect(gone(backup('only', 900))).toEqual([]);
});

it('what the new host stored is newer than what it was recovered from, though its clock is two days behind', () => {
  const lost = Array.from({ length: 9 }, (_unused, index) => backup(`lost-${index}`, index / 24)).flat();
  const mark = { id: 'mark', time: new Date(now.getTime() - 2 * 86_400_000), paths: [] };
  const fence = { ...mark, tags: ['fence', 'ordinal=1', 'recovery=r', 'recovered-from=lost-0'] };
  const own = backup('own', 1.9).map((one) => ({ ...one, tags: [...one.tags, 'ordinal=1'] }));
  const later = backup('own-later', 1.8).map((one) => ({ ...one, tags: [...one.tags, 'ordinal=1'] }));
  const all = [...lost, fence, ...own, ...later];
  const [first, second] = storedBackups(all);
  expect([first?.id, second?.id]).toEqual(['own-later', 'own']);
  expect(gone(all)).not.toContain('own');
});
