import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IsNull, Not } from 'typeorm';
import { waitFor } from '#libs/async';
import { manifestSchema } from '#libs/backup';
import { BackupEntity, OperationEntity, TenantEntity, TenantSecretEntity } from '#libs/db';
import { stackNames } from '#libs/tenants';
import { BackupWorld, type BackedUpStack } from '../support/backup-world.js';

jest.setTimeout(300_000);

let world: BackupWorld;

beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string) => db().findOneByOrFail(TenantEntity, { id });

describe('a restore', () => {
  it('FM-22 puts the data of then in place after a safety backup, and keeps what was there until the next good one', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    await world.databases.sql(stack.postgres, 'insert into fills select n, 1 from generate_series(2001, 2050) n');
    expect(await world.countOf(stack)).toBe(1050);
    const operation = await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    expect(operation).toMatchObject({ state: 'done', error: null });
    expect(await world.countOf(stack)).toBe(1000);
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 2, keptEpochs: [1], nextEpoch: null, observed: 'running' });
    const safety = await world.backupOf(operation.id);
    expect(safety).toMatchObject({ state: 'verified', reason: 'safety' });
    expect(manifestSchema.parse(safety!.manifest).databases[0]?.tables).toContainEqual({
      schema: 'public',
      name: 'fills',
      rows: 1050,
      figure: expect.any(String) as string,
    });
    const volumes = () => world.world.engine.names().volumes.filter((name) => name.includes(`${stack.slug}-data`));
    expect(volumes()).toHaveLength(2);
    await world.backUp(stack);
    expect(volumes()).toHaveLength(1);
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 2, keptEpochs: [] });
    expect(await world.countOf(stack)).toBe(1000);
    // And back to what was there before the restore, by its safety backup.
    const again = await world.run(await world.ask(stack, 'restore', { backup: safety!.id }), stack.id);
    expect(again).toMatchObject({ state: 'done' });
    expect(await world.countOf(stack)).toBe(1050);
    expect(world.leftOver(stack)).toEqual([]);
  });

  it('has what it loaded on the disk before the server that took it is ended', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    const log = join(world.home, `asked-of-${stack.slug}`);
    world.databases.instead = (tool, real) =>
      tool === 'psql'
        ? { ...real, file: 'sh', args: ['-c', 'tee -a "$0" | "$@"', log, real.file, ...real.args] }
        : null;
    const asked: string[] = [];
    const engine = new Proxy(world.engine, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') {
          return member;
        }
        return async (...args: unknown[]): Promise<unknown> => {
          if (name === 'stopContainer' && (args[0] as string).endsWith('-scratch')) {
            asked.push(await readFile(log, 'utf8'));
          }
          return (member as (...given: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    const id = await world.ask(stack, 'restore', { backup: backup!.id });
    expect(await world.run(id, stack.id, { engine })).toMatchObject({ state: 'done', error: null });
    expect(asked).toHaveLength(1);
    expect(asked[0]!.lastIndexOf('checkpoint;')).toBeGreaterThan(asked[0]!.lastIndexOf('aviary_row'));
  });

  it('can be undone while what it took the place of is kept, and that undone too', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    await world.databases.sql(stack.postgres, 'insert into fills select n, 1 from generate_series(2001, 2050) n');
    await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    const { backups } = world.world;
    const { kept } = await backups.list(stack.owner, stack.slug);
    expect(kept).toMatchObject({
      restored: backup!.takenAt!.toISOString(),
      comesBack: [{ what: 'fills', count: 50 }],
    });
    await expect(backups.undoRestore(stack.owner, stack.slug, { confirm: 'uaaaaaa' })).rejects.toMatchObject({
      code: 'VALIDATION_FAILED',
    });
    const undo = async () => {
      const { operation } = await backups.undoRestore(stack.owner, stack.slug, { confirm: stack.slug });
      return world.run(operation.id, stack.id);
    };
    const undone = await undo();
    expect(undone).toMatchObject({ state: 'done', error: null });
    expect(await world.countOf(stack)).toBe(1050);
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, keptEpochs: [2], observed: 'running' });
    expect((await backups.list(stack.owner, stack.slug)).kept).toMatchObject({ restored: null, comesBack: [] });
    // As an agent that died after the swap finds it: nothing is swapped twice.
    await db().query(`update operations set state = 'queued' where id = $1`, [undone.id]);
    await db().query(`update operation_steps set state = 'pending' where operation_id = $1 and phase = 'swap'`, [
      undone.id,
    ]);
    expect(await world.run(undone.id, stack.id)).toMatchObject({ state: 'done', error: null });
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, keptEpochs: [2] });
    expect(await undo()).toMatchObject({ state: 'done', error: null });
    expect(await world.countOf(stack)).toBe(1000);
    await world.backUp(stack);
    expect((await backups.list(stack.owner, stack.slug)).kept).toBeNull();
    await expect(undo()).rejects.toMatchObject({ code: 'WRONG_STATE', details: { why: 'nothing_kept' } });
  });

  it('that failed after it put the data in place says what is kept as well, from the moment on it did', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    const { backups } = world.world;
    await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    const second = await world.ask(stack, 'restore', { backup: backup!.id });
    const before = new Date();
    expect(await world.run(second, stack.id)).toMatchObject({ state: 'done' });
    // As the health gate or an agent that died leaves it.
    await db().query(`update operations set state = 'failed', finished_at = now() + interval '1 hour' where id = $1`, [
      second,
    ]);
    const { kept } = await backups.list(stack.owner, stack.slug);
    const since = new Date(kept!.since).getTime();
    expect([since >= before.getTime(), since <= Date.now()]).toEqual([true, true]);
    expect(kept).toMatchObject({ restored: backup!.takenAt!.toISOString() });
    // One that did not come so far is none.
    await db().query(`update operation_steps set state = 'failed' where operation_id = $1 and phase = 'swap'`, [
      second,
    ]);
    const { kept: first } = await backups.list(stack.owner, stack.slug);
    expect(new Date(first!.since).getTime()).toBeLessThan(before.getTime());
    // Cut off in the moment of the swap it may have: what is kept then is of its order, not of an earlier one's.
    await db().query(`update operation_steps set state = 'skipped' where operation_id = $1 and phase = 'swap'`, [
      second,
    ]);
    const { createdAt } = await db().findOneByOrFail(OperationEntity, { id: second });
    expect((await backups.list(stack.owner, stack.slug)).kept).toMatchObject({ since: createdAt.toISOString() });
    // Called off before it came so far, it did not.
    await db().query(`update operation_steps set started_at = null where operation_id = $1 and phase = 'swap'`, [
      second,
    ]);
    expect((await backups.list(stack.owner, stack.slug)).kept).toEqual(first);
  });

  /** What the stack's services are given as the password of its database. */
  const passwordOf = ({ slug }: BackedUpStack): string => {
    const volume = stackNames(world.world.facts.platformId, slug).secrets('postgres');
    return world.world.engine.fileIn(volume, 'database-password') ?? '';
  };
  const undone = async (stack: Awaited<ReturnType<BackupWorld['stack']>>) => {
    const { operation } = await world.world.backups.undoRestore(stack.owner, stack.slug, { confirm: stack.slug });
    return world.run(operation.id, stack.id);
  };
  const inDoubt = ({ id }: BackedUpStack) =>
    db().countBy(TenantSecretEntity, { tenantId: id, previous: Not(IsNull()) });
  /** The databases here take any password. */
  const databases = { changePassword: () => Promise.resolve(true) };

  it('is undone also once secrets were rotated: what was kept is given the password of now, and so is what is left', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    await world.databases.sql(stack.postgres, 'insert into fills select n, 1 from generate_series(2001, 2050) n');
    await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    const before = passwordOf(stack);
    const rotation = await world.world.resize.rotateSecrets(stack.owner, stack.slug);
    const rotated = await world.run(rotation.operation.id, stack.id, { databases });
    expect(rotated).toMatchObject({ state: 'done', error: null });
    const now = passwordOf(stack);
    expect(now).not.toBe(before);
    for (const epochs of [
      { epoch: 1, keptEpochs: [2] },
      { epoch: 2, keptEpochs: [1] },
    ]) {
      // As the data that is gone back to has it.
      await world.databases.admin(`alter role ${world.role} password '${before}'`);
      expect(await undone(stack)).toMatchObject({ state: 'done', error: null });
      expect(await world.databases.opens(world.role, now)).toBe(true);
      expect(await rowOf(stack.id)).toMatchObject({ ...epochs, observed: 'running' });
      expect(await inDoubt(stack)).toBe(0);
      expect(await world.countOf(stack)).toBe(epochs.epoch === 1 ? 1050 : 1000);
    }
    expect(passwordOf(stack)).toBe(now);
  });

  it('FM-19 of a stack whose rotation was not proven before is undone to data that opens, whatever password it had', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    const rotation = await world.world.resize.rotateSecrets(stack.owner, stack.slug);
    // The world's own databases take no password.
    expect(await world.run(rotation.operation.id, stack.id)).toMatchObject({ state: 'failed' });
    const restore = await world.ask(stack, 'restore', { backup: backup!.id });
    expect(await world.run(restore, stack.id, { databases })).toMatchObject({ state: 'done', error: null });
    expect(await inDoubt(stack)).toBe(0);
    await world.databases.admin(`alter role ${world.role} password 'known to nobody'`);
    expect(await undone(stack)).toMatchObject({ state: 'done', error: null });
    expect(await world.databases.opens(world.role, passwordOf(stack))).toBe(true);
    expect(await inDoubt(stack)).toBe(0);
  });

  it('FM-19 whose undo ended behind the swap goes on with the next operation, which gives the data its password', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    const { operation } = await world.world.backups.undoRestore(stack.owner, stack.slug, { confirm: stack.slug });
    const stop = new AbortController();
    world.databases.instead = (tool) => {
      if (tool === 'psql') {
        stop.abort(new Error('the agent is stopping'));
      }
      return tool === 'psql' ? { file: 'false', args: [] } : null;
    };
    await expect(world.runner().run(operation.id, stack.id, stop.signal)).rejects.toThrow('the agent is stopping');
    world.asUsual();
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, keptEpochs: [2] });
    await world.databases.admin(`alter role ${world.role} password 'known to nobody'`);
    const operator = await world.world.operator();
    const { holds } = world.world;
    const suspended = await holds.suspend(operator, stack.slug, 'A look is needed.');
    expect(await world.run(suspended.operation.id, stack.id)).toMatchObject({ state: 'done' });
    const resumed = await holds.resume(operator, stack.slug);
    expect(await world.run(resumed.operation.id, stack.id)).toMatchObject({ state: 'done', error: null });
    expect(await world.databases.opens(world.role, passwordOf(stack))).toBe(true);
    expect(await inDoubt(stack)).toBe(0);
  });

  it('FM-15 is not undone to a volume that is gone, which the engine would make anew', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    const gone = world.world.engine.names().volumes.find((name) => name.endsWith(`${stack.slug}-data-1`)) ?? '';
    const owner = { platform: world.world.facts.platformId, tenant: stack.id };
    await world.engine.removeVolume(gone, owner, { deadlineMs: 10_000 });
    const { operation } = await world.world.backups.undoRestore(stack.owner, stack.slug, { confirm: stack.slug });
    expect(await world.run(operation.id, stack.id)).toMatchObject({
      state: 'failed',
      error: { code: 'DATA_MISSING', details: { missing: [gone] } },
    });
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 2, observed: 'running', reason: null });
    expect(await world.countOf(stack)).toBe(1000);
  });

  it('cancelled while the data is loaded leaves the stack as it was', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    const id = await world.ask(stack, 'restore', { backup: backup!.id });
    // The proof of the safety backup before it is let through.
    let loading = false;
    world.databases.beforeRestore = async () => {
      loading = (await rowOf(stack.id)).nextEpoch !== null;
      world.databases.instead = (tool) => (loading && tool === 'pg_restore' ? { file: 'sleep', args: ['100'] } : null);
    };
    const running = world.run(id, stack.id);
    await waitFor(() => loading || undefined, { what: 'the loading', deadlineMs: 110_000 });
    await world.world.operations.cancel(stack.owner, id);
    expect(await running).toMatchObject({ state: 'cancelled' });
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, keptEpochs: [], observed: 'running' });
    expect(world.databases.volumes().filter((name) => name.includes(stack.slug))).toHaveLength(1);
    expect(await world.countOf(stack)).toBe(1000);
    expect(world.leftOver(stack)).toEqual([]);
  });

  it('cancelled as the loading ends leaves the stack as it was, and nothing of what was loaded', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    const id = await world.ask(stack, 'restore', { backup: backup!.id });
    world.databases.beforeRestore = async () => {
      if ((await rowOf(stack.id)).nextEpoch !== null) {
        await world.world.operations.cancel(stack.owner, id);
      }
    };
    // The loading is over before any turn of the lease sees it.
    expect(await world.run(id, stack.id, { leaseSeconds: 3_000 })).toMatchObject({ state: 'cancelled' });
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, keptEpochs: [], observed: 'running' });
    expect(world.databases.volumes().filter((name) => name.includes(stack.slug))).toHaveLength(1);
    expect(await world.countOf(stack)).toBe(1000);
    expect(world.leftOver(stack)).toEqual([]);
  });

  it('FM-10 whose agent ended in the proof of the safety backup goes on with that backup, and loses none', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    const id = await world.ask(stack, 'restore', { backup: backup!.id });
    const stop = new AbortController();
    world.databases.beforeRestore = () => {
      stop.abort(new Error('the agent is stopping'));
      return Promise.resolve();
    };
    await expect(world.runner().run(id, stack.id, stop.signal)).rejects.toThrow('the agent is stopping');
    const before = await world.backupOf(id);
    expect(before).toMatchObject({ state: 'stored', error: null });
    world.databases.beforeRestore = null;
    let dumps = 0;
    world.databases.instead = (tool) => {
      dumps += tool === 'pg_dump' ? 1 : 0;
      return null;
    };
    expect(await world.run(id, stack.id)).toMatchObject({ state: 'done', error: null });
    expect(dumps).toBe(0);
    const after = await world.backupOf(id);
    expect(after).toMatchObject({ state: 'verified', parts: before!.parts });
    const there = await (await world.repository(stack.id)).snapshots([], new AbortController().signal);
    expect(there.map(({ id: snapshot }) => snapshot)).toEqual(
      expect.arrayContaining(after!.parts.map(({ snapshotId }) => snapshotId)),
    );
  });

  it('keeps what each of several took the place of, until the next good backup', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    for (let turn = 0; turn < 2; turn += 1) {
      await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    }
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 3, keptEpochs: [1, 2] });
    await world.backUp(stack);
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 3, keptEpochs: [] });
    expect(world.databases.volumes().filter((name) => name.includes(stack.slug))).toHaveLength(1);
  });

  it('of a backup that was never verified is refused, and changes nothing', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    await db().update(BackupEntity, { id: backup!.id }, { state: 'stored' });
    const operation = await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'NOT_FOUND' } });
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, observed: 'running' });
  });
});

describe('a volume that the template names', () => {
  const keeping = (volumes: string[]) =>
    db().query(`update releases set definition = jsonb_set(definition, '{aviary,backup,volumes}', $1::jsonb)`, [
      JSON.stringify(volumes),
    ]);
  beforeAll(() => keeping(['cache']));
  afterAll(() => keeping([]));

  /** Folder that stands for the stack's volume beside its database. */
  const cacheOf = async ({ postgres }: BackedUpStack): Promise<string> => {
    const folder = world.volumeFolder(world.databases.volumeAt(postgres.replace(/-postgres$/, '-redis'), '/data'));
    await mkdir(folder, { recursive: true });
    return folder;
  };

  it('is stored and comes back with its files, their modes, owners and times', async () => {
    const stack = await world.stack();
    const before = await cacheOf(stack);
    await mkdir(join(before, 'deep/er'), { recursive: true, mode: 0o750 });
    const content = Buffer.alloc(3_000_000, 'aviary');
    await writeFile(join(before, 'deep/er/file'), content, { mode: 0o640 });
    await utimes(join(before, 'deep/er/file'), 1_700_000_000, 1_700_000_000);
    const { operation, backup } = await world.backUp(stack);
    expect(operation).toMatchObject({ state: 'done', error: null });
    expect(backup!.parts.map(({ name }) => name)).toEqual(['postgres.dump', 'cache.tar', 'manifest.json']);
    await writeFile(join(before, 'deep/er/file'), 'changed since');
    await writeFile(join(before, 'new'), 'made since');
    const restored = await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    expect(restored).toMatchObject({ state: 'done', error: null });
    const after = await cacheOf(stack);
    expect(after).not.toBe(before);
    expect(await readdir(after)).toEqual(['deep']);
    expect((await readFile(join(after, 'deep/er/file'))).equals(content)).toBe(true);
    expect(await stat(join(after, 'deep/er/file'))).toMatchObject({ mode: 0o100640, mtimeMs: 1_700_000_000_000 });
    expect((await stat(join(after, 'deep/er'))).mode & 0o777).toBe(0o750);
    expect(world.leftOver(stack)).toEqual([]);
  });

  it('and does not come back as it was stored: the stack stays as it is, and the volumes begun go', async () => {
    const stack = await world.stack();
    await writeFile(join(await cacheOf(stack), 'file'), 'as it was');
    const { backup } = await world.backUp(stack);
    const manifest = manifestSchema.parse(backup!.manifest);
    const volumes = manifest.volumes.map((volume) => ({ ...volume, sha256: '0'.repeat(64) }));
    await db().update(BackupEntity, { id: backup!.id }, { manifest: { ...manifest, volumes } });
    const had = world.world.engine.names().volumes.filter((name) => name.includes(stack.slug));
    const restored = await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    expect(restored).toMatchObject({ state: 'failed', error: { code: 'BACKUP_UNVERIFIED' } });
    expect(world.world.engine.names().volumes.filter((name) => name.includes(stack.slug))).toEqual(had);
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, observed: 'running' });
    expect(world.leftOver(stack)).toEqual([]);
  });
});
