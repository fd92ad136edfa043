import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupEntity, OperationEntity, OperationStepEntity, TenantEntity } from '#libs/db';
import { backupAges, EXPIRE_AFTER_MS, expireOperations } from '#libs/tenants';
import { BackupWorld, type BackedUpStack } from '../support/backup-world.js';

jest.setTimeout(300_000);

let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const DAY = 86_400_000;

/** The night's turn: its phases with what they say, and the backups there are afterwards. */
async function night(stack: BackedUpStack) {
  const id = await world.ask(stack, 'backup', { reason: 'schedule' });
  const operation = await world.run(id, stack.id);
  const steps = await db().find(OperationStepEntity, { where: { operationId: id }, order: { seq: 'ASC' } });
  const backups = await db().find(BackupEntity, { where: { tenantId: stack.id }, order: { id: 'ASC' } });
  return { operation, phases: steps.map(({ phase, state, detail }) => ({ phase, state, detail })), backups };
}

/** Whether the night found nothing to do. */
async function skips(stack: BackedUpStack): Promise<boolean> {
  const { operation, phases } = await night(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  return phases.some(({ state }) => state === 'skipped');
}

it('a stack that is as its newest verified backup has it needs no other, says why, and counts as fresh', async () => {
  const stack = await world.stack();
  await db().update(TenantEntity, { id: stack.id }, { createdAt: new Date(Date.now() - 60 * DAY) });
  await db().update(OperationEntity, { tenantId: stack.id }, { finishedAt: new Date(Date.now() - 60 * DAY) });
  await world.backUp(stack);
  const old = new Date(Date.now() - 2 * DAY);
  await db().update(BackupEntity, { tenantId: stack.id }, { takenAt: old, begunAt: old });
  const age = async () =>
    (await backupAges(world.world.database.dataSource, new Date())).find(({ slug }) => slug === stack.slug)!.seconds;
  expect(await age()).toBeGreaterThan(47 * 3_600);

  const { operation, phases, backups } = await night(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  const why = `nothing changed since the backup of ${old.toISOString()}, which holds all there is`;
  expect(phases).toEqual([
    { phase: 'dump', state: 'done', detail: why },
    { phase: 'store', state: 'skipped', detail: why },
    { phase: 'prove', state: 'skipped', detail: why },
  ]);
  expect(backups).toHaveLength(1);
  expect(Date.now() - backups[0]!.sameUntil!.getTime()).toBeLessThan(60_000);
  expect(await age()).toBeLessThan(60);
  expect((await world.world.backups.list(stack.owner, stack.slug)).verifiedUntil).toBe(
    backups[0]!.sameUntil!.toISOString(),
  );
  expect(world.leftOver(stack)).toEqual([]);
});

it('whatever a person would miss is a change: a row more, less or other, a definition, a secret, a release', async () => {
  const stack = await world.stack();
  await world.backUp(stack);
  expect(await skips(stack)).toBe(true);
  for (const change of [
    'insert into fills values (1001, 7)',
    // As many rows as before, and the same sum of what is in them.
    'update fills set price = case id when 1 then 3.0 when 2 then 1.5 end where id in (1, 2)',
    'delete from fills where id = 1001',
    'create index fills_by_price on fills (price)',
    'create table notes (t text)',
    'alter table fills alter column price set default 1',
    `select lo_from_bytea(0, 'a')`,
  ]) {
    await world.databases.sql(stack.postgres, change);
    expect({ change, skips: await skips(stack) }).toEqual({ change, skips: false });
    if (!change.includes('lo_from')) {
      expect({ change, skips: await skips(stack) }).toEqual({ change, skips: true });
    }
  }
  await world.databases.sql(stack.postgres, 'select lo_unlink(oid) from pg_largeobject_metadata');
  expect(await skips(stack)).toBe(true);
  await db().query(`update tenant_secrets set sealed = sealed || '\\x00' where tenant_id = $1`, [stack.id]);
  expect(await skips(stack)).toBe(false);
});

it('what the template calls passing may change by itself, and writing the same again changes nothing', async () => {
  const stack = await world.stack();
  await world.databases.sql(stack.postgres, 'create table candles (at int); create table mine (at int)');
  await world.backUp(stack);
  await world.databases.sql(stack.postgres, 'insert into candles values (1)');
  await world.databases.sql(stack.postgres, 'update fills set price = price');
  await world.databases.sql(stack.postgres, 'vacuum full fills');
  expect(await skips(stack)).toBe(true);
  await world.databases.sql(stack.postgres, 'insert into mine values (1)');
  expect(await skips(stack)).toBe(false);
});

it('one asked for by a person is taken all the same, and one by the clock once a week', async () => {
  const stack = await world.stack();
  await world.backUp(stack);
  await world.backUp(stack);
  expect(await db().countBy(BackupEntity, { tenantId: stack.id, state: 'verified' })).toBe(2);
  await db().update(BackupEntity, { tenantId: stack.id }, { takenAt: new Date(Date.now() - 7 * DAY) });
  expect(await skips(stack)).toBe(false);
});

it('the files of a volume are compared as well', async () => {
  const keeping = (volumes: string[]) =>
    db().query(`update releases set definition = jsonb_set(definition, '{aviary,backup,volumes}', $1::jsonb)`, [
      JSON.stringify(volumes),
    ]);
  const stack = await world.stack();
  await world.backUp(stack);
  await keeping(['cache']);
  try {
    // The backup before has no volume, so it does not hold all there is.
    expect(await skips(stack)).toBe(false);
    expect(await skips(stack)).toBe(true);
    const volume = world.databases.volumeAt(stack.postgres.replace(/-postgres$/, '-redis'), '/data');
    await writeFile(join(world.volumeFolder(volume), 'more'), 'more');
    expect(await skips(stack)).toBe(false);
  } finally {
    await keeping([]);
  }
});

it('FM-14 one that failed since leads to another, whatever it failed of, and so does a repository that lacks a part', async () => {
  const stack = await world.stack();
  await world.backUp(stack);
  // Stored, and found to be other than it should be when it was loaded.
  world.databases.afterRestore = 'delete from fills where id = 1';
  expect((await world.backUp(stack)).backup).toMatchObject({ state: 'stored' });
  world.asUsual();
  expect(await skips(stack)).toBe(false);
  expect(await skips(stack)).toBe(true);
  world.databases.instead = (tool) => (tool === 'pg_dump' ? { file: 'false', args: [] } : null);
  expect((await world.backUp(stack)).backup).toMatchObject({ state: 'failed' });
  world.asUsual();
  expect(await skips(stack)).toBe(false);
  expect(await skips(stack)).toBe(true);
  const newest = await db().findOneOrFail(BackupEntity, {
    where: { tenantId: stack.id, state: 'verified' },
    order: { takenAt: 'DESC' },
  });
  await (await world.repository(stack.id)).forget([newest.parts[0]!.snapshotId], new AbortController().signal);
  expect(await skips(stack)).toBe(false);
  expect(await skips(stack)).toBe(true);
  await rm(world.folderOf(stack.id), { recursive: true });
  expect(await skips(stack)).toBe(false);
});

it('one whose agents all ended in its proof, and which nobody goes on with, leads to another as well', async () => {
  const stack = await world.stack();
  await world.backUp(stack);
  const asked = await world.ask(stack);
  const stop = new AbortController();
  world.databases.beforeRestore = () => {
    stop.abort(new Error('the agent is stopping'));
    return Promise.resolve();
  };
  await expect(world.runner().run(asked, stack.id, stop.signal)).rejects.toThrow('the agent is stopping');
  world.asUsual();
  const { queue, database } = world.world;
  const { deadlineAt } = await db().findOneByOrFail(OperationEntity, { id: asked });
  const late = new Date(deadlineAt.getTime() + EXPIRE_AFTER_MS + 1_000);
  await expireOperations({ dataSource: database.dataSource, queue }, late);
  expect(await db().findOneByOrFail(OperationEntity, { id: asked })).toMatchObject({ state: 'failed' });
  expect(await world.backupOf(asked)).toMatchObject({ state: 'stored', error: null });
  expect(await skips(stack)).toBe(false);
  expect(await skips(stack)).toBe(true);
});

it('a night without a backup leaves what a restore took the place of', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  await world.run(await world.ask(stack, 'restore', { backup: backup!.id }), stack.id);
  const kept = async () => (await db().findOneByOrFail(TenantEntity, { id: stack.id })).keptEpochs;
  expect(await skips(stack)).toBe(true);
  expect(await kept()).toEqual([1]);
  await world.backUp(stack);
  expect(await kept()).toEqual([]);
});
