import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { manifestSchema } from '#libs/backup';
import { BackupEntity, OperationEntity, RepositoryEntity, TenantEntity } from '#libs/db';
import { BackupWorld, RESTIC, type BackedUpStack } from '../support/backup-world.js';
import { locksIn } from '../support/faults/left-over.js';
import { killedRestic } from '../support/killed-restic.js';

jest.setTimeout(300_000);

let world: BackupWorld;

beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string) => db().findOneByOrFail(TenantEntity, { id });

it('a backup is dumped, stored, restored and compared, with time and figures for each', async () => {
  const stack = await world.stack();
  const { operation, backup } = await world.backUp(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  expect(backup).toMatchObject({ state: 'verified', reason: 'manual', error: null });
  const times = [backup!.begunAt, backup!.dumpedAt, backup!.storedAt, backup!.verifiedAt].map((at) => at!.getTime());
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  const { databases, ...manifest } = manifestSchema.parse(backup!.manifest);
  expect(manifest).toMatchObject({ slug: stack.slug, tenant: stack.id, backup: backup!.id });
  expect(databases[0]?.tables).toContainEqual({
    schema: 'public',
    name: 'fills',
    rows: 1000,
    figure: expect.stringMatching(/^-?\d+$/) as string,
  });
  expect(backup!.parts.map(({ name }) => name)).toEqual(['postgres.dump', 'manifest.json']);
  expect(world.leftOver(stack)).toEqual([]);
  // Nothing of the stack was touched, and nobody's look at it changed.
  expect(await rowOf(stack.id)).toMatchObject({ observed: 'running', reason: null, epoch: 1 });
});

it('is proven also where pg_restore has all it needs before restic comes to its end', async () => {
  const stack = await world.stack();
  const late = join(world.home, 'late-restic');
  await writeFile(
    late,
    `#!/bin/sh\n'${RESTIC}' "$@"; code=$?\ncase " $* " in *' dump '*) sleep 2 ;; esac\nexit $code\n`,
    {
      mode: 0o755,
    },
  );
  world.restic.binary = late;
  const { operation, backup } = await world.backUp(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  expect(backup).toMatchObject({ state: 'verified', error: null });
});

it('what lies in the repository opens with plain restic and plain pg_restore, and nothing else opens it', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const repository = await world.repository(stack.id);
  const { stream, ended } = await repository.open(
    backup!.parts[0]!.snapshotId,
    'postgres.dump',
    new AbortController().signal,
  );
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
  }
  await ended;
  const file = join(world.home, 'by-hand.dump');
  await writeFile(file, Buffer.concat(chunks));
  const { file: pgRestore, env } = world.databases.tool(stack.postgres, ['pg_restore', '-U', '', '-d', '']);
  const { stdout } = await promisify(execFile)(pgRestore, ['--list', file], { env: env as NodeJS.ProcessEnv });
  expect(stdout).toContain('TABLE DATA public fills');
  // Of data and manifest nothing lies there in clear, and the password is nowhere but sealed.
  const { stdout: found } = await promisify(execFile)('grep', ['-rc', 'fills', world.folderOf(stack.id)]).catch(
    (error: { stdout: string }) => error,
  );
  expect(found.split('\n').filter((line) => /:[1-9]/.test(line))).toEqual([]);
  const wrong = join(world.home, 'wrong');
  await writeFile(wrong, 'not the password');
  const refused = promisify(execFile)(RESTIC, ['-r', world.folderOf(stack.id), '--password-file', wrong, 'snapshots']);
  await expect(refused).rejects.toMatchObject({ code: 12 });
});

describe('a backup that is none', () => {
  const outcome = async (stack: BackedUpStack) => {
    const { operation, backup } = await world.backUp(stack);
    const snapshots = await (await world.repository(stack.id)).snapshots([], new AbortController().signal);
    return { operation, backup: backup!, snapshots: snapshots.length };
  };

  it.each([
    ['breaks off with half a dump', 'head -c 3000 /dev/zero; exit 1', 'pg_dump ended with 1'],
    ['ends well and writes nothing', 'exit 0', 'wrote no dump'],
    ['ends well and writes something else', 'echo nothing to see here', 'wrote no dump'],
    ['is killed', 'head -c 3000 /dev/zero; kill -9 $$', 'pg_dump ended with 137'],
  ])('FM-20 a pg_dump that %s fails it, and leaves no snapshot', async (_how, script, said) => {
    const stack = await world.stack();
    world.databases.instead = (tool) => (tool === 'pg_dump' ? { file: 'sh', args: ['-c', script] } : null);
    const { operation, backup, snapshots } = await outcome(stack);
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'BACKUP_FAILED' } });
    expect(operation.error?.message).toContain(said);
    expect(backup).toMatchObject({ state: 'failed', verifiedAt: null, error: { code: 'BACKUP_FAILED' } });
    expect(snapshots).toBe(0);
    expect(await rowOf(stack.id)).toMatchObject({ observed: 'running', reason: null });
  });

  it('FM-21 hinders no other: what it left in the repository, locks too, is cleared away', async () => {
    const stack = await world.stack();
    world.databases.instead = (tool) => (tool === 'pg_dump' ? { file: 'sh', args: ['-c', 'exit 1'] } : null);
    expect((await outcome(stack)).backup.state).toBe('failed');
    world.databases.instead = () => null;
    // As a killed restic leaves it.
    for (const command of [
      ['backup', '--stdin'],
      ['check', '--read-data'],
    ]) {
      await killedRestic(world, stack, command);
      expect(await locksIn(world.folderOf(stack.id))).toHaveLength(1);
      expect((await outcome(stack)).backup.state).toBe('verified');
      expect(await locksIn(world.folderOf(stack.id))).toEqual([]);
    }
  });

  it('FM-20 one that lost a row on its way is found by counting', async () => {
    const stack = await world.stack();
    world.databases.afterRestore = 'delete from fills where id = 1';
    const { operation, backup } = await outcome(stack);
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'BACKUP_UNVERIFIED' } });
    expect(operation.error?.message).toContain('public.fills has 999 rows instead of 1000');
    expect(backup).toMatchObject({ state: 'stored', verifiedAt: null, error: { code: 'BACKUP_UNVERIFIED' } });
    expect(world.leftOver(stack)).toEqual([]);
  });

  it('FM-20 what comes back with as many rows, and another among them, is found by its content, and not put in place', async () => {
    const stack = await world.stack();
    const { backup } = await world.backUp(stack);
    world.databases.afterRestore = 'update fills set price = price + 1 where id = 7';
    const operation = await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'BACKUP_UNVERIFIED' } });
    expect(operation.error?.message).toContain('public.fills has other rows');
    expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, observed: 'running' });
    expect(world.leftOver(stack)).toEqual([]);
  });

  it('FM-21 a manifest that the repository does not give back is found before the backup counts', async () => {
    const stack = await world.stack();
    world.databases.beforeRestore = async () => {
      const repository = await world.repository(stack.id);
      const never = new AbortController().signal;
      const list = (await repository.snapshots([], never)).find(({ paths }) => paths.includes('/manifest.json'));
      await repository.unlist([list?.id ?? ''], never);
    };
    const { operation, backup } = await outcome(stack);
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_FAILED' } });
    expect(backup).toMatchObject({ state: 'stored', verifiedAt: null });
  });

  it('FM-21 a bit that flips in the repository is found before it counts', async () => {
    const stack = await world.stack();
    const flip = async (): Promise<void> => {
      const packs = await filesBelow(join(world.folderOf(stack.id), 'data'));
      const largest = packs.toSorted((a, b) => b.size - a.size)[0]!;
      const file = await open(largest.path, 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, Math.floor(largest.size / 3));
      await file.write(Buffer.from([byte[0]! ^ 1]), 0, 1, Math.floor(largest.size / 3));
      await file.close();
    };
    const asked = await world.ask(stack);
    const stop = new AbortController();
    world.databases.beforeRestore = () => {
      stop.abort(new Error('the agent is stopping'));
      return Promise.resolve();
    };
    await expect(world.runner().run(asked, stack.id, stop.signal)).rejects.toThrow('the agent is stopping');
    world.asUsual();
    await flip();
    expect(await world.run(asked, stack.id)).toMatchObject({ state: 'failed' });
    const backup = await world.backupOf(asked);
    expect(backup?.state).toBe('stored');
    expect(backup?.error?.message).toMatch(/restic dump|come back whole/);
  });
});

it('what has more in it than one transaction can lock is loaded piece by piece', async () => {
  const stack = await world.stack();
  let refused = 0;
  world.databases.instead = (tool, { args }) => {
    if (tool !== 'pg_restore' || !args.includes('--single-transaction')) {
      return null;
    }
    refused += 1;
    const words = [
      'pg_restore: error: could not execute query: ERROR:  out of shared memory',
      'HINT:  You might need to increase "max_locks_per_transaction".',
    ];
    return { file: 'sh', args: ['-c', 'printf "%s\\n" "$@" >&2; exit 1', 'sh', ...words] };
  };
  const { operation, backup } = await world.backUp(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  expect(backup).toMatchObject({ state: 'verified', error: null });
  expect(refused).toBe(1);
});

it('a large table is counted slice by slice, beside its dump, and has all its rows', async () => {
  const stack = await world.stack();
  await world.databases.sql(stack.postgres, 'create table wide (n int, text text)');
  // Four of them take a block: 78 MiB of more than one slice, with gaps in it.
  await world.databases.sql(
    stack.postgres,
    `insert into wide select n, repeat('x', 1900) from generate_series(1, 40000) n`,
  );
  await world.databases.sql(stack.postgres, 'delete from wide where n % 3 = 0');
  const asked: string[] = [];
  world.databases.instead = (tool, real) => {
    if (tool !== 'psql') {
      return null;
    }
    const log = join(world.home, `asked-${asked.length}`);
    asked.push(log);
    return { ...real, file: 'sh', args: ['-c', 'tee "$0" | "$@"', log, real.file, ...real.args] };
  };
  const { operation, backup } = await world.backUp(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  const { tables } = manifestSchema.parse(backup!.manifest).databases[0]!;
  expect(tables.find(({ name }) => name === 'wide')).toMatchObject({ rows: 26_667 });
  const statements = (await Promise.all(asked.map((log) => readFile(log, 'utf8')))).join('');
  expect(statements.match(/from only public\.wide where ctid >= '\(\d+,0\)'/g)).toHaveLength(2);
});

it('FM-13 an engine that dies while restic has still to give is waited for, and the backup is proven once it is back', async () => {
  const stack = await world.stack();
  // More than pipes hold.
  await world.databases.sql(
    stack.postgres,
    'create table large as select n, md5(n::text) || md5((-n)::text) as filling from generate_series(1, 100000) n',
  );
  const reading = join(world.home, 'reading');
  world.databases.instead = (tool) =>
    tool === 'pg_restore'
      ? { file: 'sh', args: ['-c', 'head -c 100000 >/dev/null; touch "$0"; exec sleep 600', reading] }
      : null;
  const id = await world.ask(stack);
  const first = world.run(id, stack.id);
  await waitFor(() => (existsSync(reading) ? true : undefined), { what: 'the loading', deadlineMs: 60_000 });
  world.streams.cut();
  expect(await first).toMatchObject({ state: 'running', error: null, attempts: 1 });
  expect(await world.backupOf(id)).toMatchObject({ state: 'stored' });
  world.databases.instead = () => null;
  await db().update(OperationEntity, { id }, { notBefore: null });
  expect(await world.run(id, stack.id)).toMatchObject({ state: 'done', error: null, attempts: 2 });
  expect(await world.backupOf(id)).toMatchObject({ state: 'verified', error: null });
  expect(world.leftOver(stack)).toEqual([]);
});

it('tables are counted and restored whatever their names are', async () => {
  const stack = await world.stack();
  const names = ['a\tb', 'two\nlines', 'x"; select 1; --', '\\! touch /nowhere', ':name', "it's", 'dröhnend'];
  for (const name of names) {
    await world.databases.sql(stack.postgres, `create table "${name.replaceAll('"', '""')}" as select 1 as one`);
  }
  const { operation, backup } = await world.backUp(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  const counted = manifestSchema.parse(backup!.manifest).databases[0]!.tables;
  const found = counted.map(({ schema, name, rows }) => ({ schema, name, rows }));
  expect(found).toEqual(expect.arrayContaining(names.map((name) => ({ schema: 'public', name, rows: 1 }))));
});

it('FM-27 no proof and no restore begins that would take more than the host has to spare', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  expect(manifestSchema.parse(backup!.manifest).databases[0]!.size).toBeGreaterThan(1_000_000);
  const plenty = world.room;
  world.room = { freeMb: 2_055, floorMb: 2_048 };
  const words = /^Loading the data takes \d+ MiB; 2055 MiB are free on this host, of which 2048 MiB must stay so\. /;
  try {
    const restored = await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
    expect(restored).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY' } });
    const { operation, backup: second } = await world.backUp(stack);
    expect(operation.error).toMatchObject({ code: 'NO_CAPACITY', message: expect.stringMatching(words) });
    expect(second).toMatchObject({ state: 'stored' });
  } finally {
    world.room = plenty;
  }
  expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, observed: 'running' });
  expect(await world.countOf(stack)).toBe(1000);
  expect(world.leftOver(stack)).toEqual([]);
});

it('with the stack go its backups and their password', async () => {
  const stack = await world.stack();
  await world.backUp(stack);
  const { operation } = await world.world.stacks.request(stack.owner, stack.slug, 'destroy');
  expect(await world.run(operation.id, stack.id)).toMatchObject({ state: 'done' });
  await expect(stat(world.folderOf(stack.id))).rejects.toThrow('ENOENT');
  expect(await db().countBy(RepositoryEntity, { tenantId: stack.id })).toBe(0);
  expect(await db().countBy(BackupEntity, { tenantId: stack.id })).toBe(0);
  expect(world.databases.volumes().filter((name) => name.includes(stack.slug))).toEqual([]);
});

it('what is asked for takes the place of a backup at once, and what it left is cleared away', async () => {
  const stack = await world.stack();
  world.databases.instead = (tool) => (tool === 'pg_restore' ? { file: 'sleep', args: ['60'] } : null);
  const asked = await world.ask(stack);
  const running = world.run(asked, stack.id);
  await waitFor(
    async () =>
      (await world.backupOf(asked))?.state === 'stored' && world.leftOver(stack).length > 0 ? true : undefined,
    {
      what: 'the server beside the stack',
      deadlineMs: 60_000,
    },
  );
  const { operation } = await world.world.stacks.request(stack.owner, stack.slug, 'stop');
  const began = Date.now();
  await world.run(operation.id, stack.id);
  await running;
  expect(Date.now() - began).toBeLessThan(30_000);
  expect(await db().findOneByOrFail(OperationEntity, { id: asked })).toMatchObject({
    state: 'cancelled',
    error: { details: { why: 'stop' } },
  });
  expect(await db().findOneByOrFail(OperationEntity, { id: operation.id })).toMatchObject({ state: 'done' });
  expect(world.leftOver(stack)).toEqual([]);
  expect(await rowOf(stack.id)).toMatchObject({ observed: 'stopped' });
});

async function filesBelow(folder: string): Promise<{ path: string; size: number }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (path) => ({ path, size: (await stat(path)).size })));
}
