import { Holds } from './holds.js';

/** The one row there may be, behind a disk that takes its time with the first change. */
function slowDisk() {
  const first = Promise.withResolvers<void>();
  const state: { stored: unknown; changes: number } = { stored: null, changes: 0 };
  const sql = async (text: string, values: readonly unknown[] = []): Promise<never[]> => {
    if (text.startsWith('select')) {
      return (state.stored === null ? [] : [{ value: state.stored }]) as never[];
    }
    state.changes += 1;
    if (state.changes === 1) {
      await first.promise;
    }
    state.stored = text.startsWith('insert') ? JSON.parse(JSON.stringify(values[1])) : null;
    return [];
  };
  return { state, sql, goOn: first.resolve };
}

const now = (): Date => new Date('2026-06-01T10:00:00Z');

it('a hold for a full disk is in force at once, and a release said after it holds, however slow the disk was', async () => {
  const disk = slowDisk();
  const holds = new Holds({ sql: disk.sql as never }, now);
  const taken = holds.take({ kind: 'disk', percent: 97 });
  const released = holds.take({ kind: 'disk', percent: null });
  await Promise.resolve();
  expect(holds.held()).toMatchObject({ kind: 'disk', percent: 97 });
  // Before a restart nobody waits for that disk.
  await holds.take({ kind: 'restart', seconds: 60 });
  disk.goOn();
  await Promise.all([taken, released]);
  expect(disk.state).toEqual({ stored: null, changes: 2 });
  expect(holds.held()).toEqual({ kind: 'restart' });
  const afterRestart = new Holds({ sql: disk.sql as never }, now);
  await afterRestart.load();
  expect(afterRestart.held()).toBeNull();
});

it('a disk too full to note that it is held is held all the same, and a later word is heard', async () => {
  let broken = true;
  const holds = new Holds(
    { sql: () => (broken ? Promise.reject(new Error('no space left on device')) : Promise.resolve([])) },
    now,
  );
  await expect(holds.take({ kind: 'disk', percent: 99 })).rejects.toThrow('no space');
  expect(() => holds.requireFree()).toThrow(expect.objectContaining({ code: 'DISK_FULL' }) as Error);
  broken = false;
  await holds.take({ kind: 'disk', percent: null });
  expect(holds.held()).toBeNull();
});

it('an upgrade is waited for from the start on, before all else, and until that one is over', async () => {
  const holds = new Holds({ sql: () => Promise.resolve([]) }, now, 'this one');
  await holds.take({ kind: 'disk', percent: 97 });
  expect([holds.held(), holds.tradesAfter]).toEqual([{ kind: 'upgrade' }, 'this one']);
  expect(() => holds.requireUpgraded()).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }) as Error);
  await holds.take({ kind: 'upgrade', over: 'another one' });
  expect(holds.held()).toEqual({ kind: 'upgrade' });
  await holds.take({ kind: 'upgrade', over: 'this one' });
  expect(holds.held()).toMatchObject({ kind: 'disk', percent: 97 });
  expect(() => holds.requireUpgraded()).not.toThrow();
});
