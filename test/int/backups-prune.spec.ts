import { BackupEntity, OperationEntity, OperationStepEntity, PlanEntity, TenantEntity } from '#libs/db';
import { expiredBackups, orderDuePrunes, RetentionService } from '#libs/tenants';
import { BackupWorld, type BackedUpStack } from '../support/backup-world.js';
import { insertBackup } from '../support/backup-rows.js';
import { locksIn } from '../support/faults/left-over.js';
import { killedRestic } from '../support/killed-restic.js';

jest.setTimeout(300_000);

let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const DAY = 86_400_000;
const db = () => world.world.database.dataSource.manager;
const ago = (days: number): Date => new Date(Date.now() - days * DAY);
const idsOf = async ({ id }: { id: string }): Promise<string[]> =>
  (await db().find(BackupEntity, { where: { tenantId: id }, order: { id: 'ASC' } })).map((backup) => backup.id);

async function keeps(keepDaily: number, keepWeekly = 0, keepMonthly = 0): Promise<void> {
  await db().createQueryBuilder().update(PlanEntity).set({ keepDaily, keepWeekly, keepMonthly }).execute();
}

/** A backup for each of these days back, newest last; ids in that order. */
async function backedUp(stack: BackedUpStack, days: readonly number[]): Promise<string[]> {
  const ids: string[] = [];
  for (const back of days) {
    const { backup } = await world.backUp(stack);
    await db().update(BackupEntity, { id: backup!.id }, { takenAt: ago(back), begunAt: ago(back) });
    ids.push(backup!.id);
  }
  return ids;
}

async function prune(stack: BackedUpStack) {
  const operation = await world.run(await world.ask(stack, 'prune'), stack.id);
  const [step] = await db().findBy(OperationStepEntity, { operationId: operation.id });
  return { operation, detail: step?.detail };
}

async function snapshotsOf(stack: BackedUpStack): Promise<string[]> {
  const found = await (await world.repository(stack.id)).snapshots([], new AbortController().signal);
  return found.map(({ id }) => id).toSorted();
}

async function partsOf({ id }: BackedUpStack): Promise<string[]> {
  const rows = await db().findBy(BackupEntity, { tenantId: id });
  return rows.flatMap(({ parts }) => parts.map(({ snapshotId }) => snapshotId)).toSorted();
}

it('what the plan keeps no longer goes, as was told before, out of the repository too; what stays comes back', async () => {
  const stack = await world.stack();
  await keeps(2);
  const [old, older, , newest] = await backedUp(stack, [5, 4, 2, 1]);
  const tenantIds = [stack.id];
  const told = await expiredBackups(db(), { tenantIds, zone: 'UTC', now: new Date() });
  expect(told.map(({ id }) => id)).toEqual([old, older]);
  const { operation, detail } = await prune(stack);
  expect(operation).toMatchObject({ state: 'done', error: null });
  expect(detail).toBe('2 removed, 2 kept');
  expect(await idsOf(stack)).not.toContain(old);
  expect(await idsOf(stack)).toHaveLength(2);
  expect(await snapshotsOf(stack)).toEqual(await partsOf(stack));
  const back = await world.run(await world.ask(stack, 'restore', { backup: newest! }), stack.id);
  expect(back).toMatchObject({ state: 'done', error: null });
  expect(await world.countOf(stack)).toBe(1000);
});

it('FM-20 while the newest one is not verified none goes, and never the last that is', async () => {
  const stack = await world.stack();
  await keeps(1);
  await backedUp(stack, [400, 300]);
  world.databases.afterRestore = 'delete from fills where id = 1';
  expect((await world.backUp(stack)).backup!.state).toBe('stored');
  expect((await prune(stack)).detail).toBe('0 removed, 3 kept');
  world.databases.afterRestore = null;
  const { backup } = await world.backUp(stack);
  // What is stored may yet be proven for two days.
  expect((await prune(stack)).detail).toBe('2 removed, 2 kept');
  await db().update(BackupEntity, { tenantId: stack.id, state: 'stored' }, { takenAt: ago(3), begunAt: ago(3) });
  expect((await prune(stack)).detail).toBe('1 removed, 1 kept');
  await db().update(BackupEntity, { tenantId: stack.id }, { takenAt: ago(900), begunAt: ago(900) });
  expect((await prune(stack)).detail).toBe('0 removed, 1 kept');
  expect(await idsOf(stack)).toEqual([backup!.id]);
});

it('FM-21 a prune that was killed leaves a lock and what no row names: the next takes both away', async () => {
  const stack = await world.stack();
  await keeps(1);
  const [old, newest] = await backedUp(stack, [3, 1]);
  // As far as it came: the row is gone, the snapshot is not, and the lock of a dead process stands.
  await db().delete(BackupEntity, { id: old! });
  await killedRestic(world, stack, ['prune']);
  expect(await locksIn(world.folderOf(stack.id))).toHaveLength(1);
  expect(await snapshotsOf(stack)).not.toEqual(await partsOf(stack));
  expect((await prune(stack)).operation).toMatchObject({ state: 'done', error: null });
  expect(await locksIn(world.folderOf(stack.id))).toEqual([]);
  expect(await snapshotsOf(stack)).toEqual(await partsOf(stack));
  expect(await idsOf(stack)).toEqual([newest]);
});

it('one that is being put back at the moment is held', async () => {
  const stack = await world.stack();
  await keeps(1);
  const [old] = await backedUp(stack, [3, 1]);
  const restore = await world.ask(stack, 'restore', { backup: old! });
  const gone = () => expiredBackups(db(), { tenantIds: [stack.id], zone: 'UTC', now: new Date() });
  expect(await gone()).toEqual([]);
  await db().update(OperationEntity, { id: restore }, { state: 'cancelled' });
  expect((await gone()).map(({ id }) => id)).toEqual([old]);
});

it('none is removed while a copy is made of one, and no copy begins while some are removed', async () => {
  await db().query('update plans set stacks = 3');
  const stack = await world.stack();
  await keeps(1);
  const [, newest] = await backedUp(stack, [3, 1]);
  const clone = () => world.world.stacks.clone(stack.owner, stack.slug, { backup: newest! });
  const pruning = await world.ask(stack, 'prune');
  await expect(clone()).rejects.toMatchObject({ code: 'TENANT_BUSY', details: { kind: 'prune' } });
  await world.run(pruning, stack.id);
  const { operation, stack: copy } = await clone();
  await expect(world.ask(stack, 'prune')).rejects.toMatchObject({ code: 'TENANT_BUSY', details: { kind: 'clone' } });
  expect(await world.run(operation.id, copy.id)).toMatchObject({ kind: 'clone', state: 'done', error: null });
  expect((await prune(stack)).operation).toMatchObject({ state: 'done' });
});

it('the backup a restore took before it is held for a week, whatever the plan keeps', async () => {
  const stack = await world.stack();
  await keeps(1);
  const ids = await backedUp(stack, [9, 8, 3, 1]);
  await db().update(BackupEntity, [{ id: ids[0]! }, { id: ids[2]! }], { reason: 'safety' });
  const gone = await expiredBackups(db(), { tenantIds: [stack.id], zone: 'UTC', now: new Date() });
  expect(gone.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  const { items } = await world.world.backups.list(stack.owner, stack.slug);
  expect(items.filter(({ held }) => held).map(({ id }) => id)).toEqual([ids[2]]);
});

describe('by the clock', () => {
  const at = (time: string): Date => new Date(`2026-11-10T${time}Z`);
  const order = (now: Date, zone = 'UTC'): Promise<string[]> =>
    orderDuePrunes({ dataSource: world.world.database.dataSource, queue: world.world.queue }, { now, zone });

  async function stacks(count: number): Promise<Awaited<ReturnType<BackupWorld['stack']>>[]> {
    await db().query(`delete from backups`);
    await db().query(`delete from operations`);
    await keeps(1);
    return Promise.all(
      Array.from({ length: count }, async () => {
        const stack = await world.stack();
        const { id } = stack;
        for (const day of ['2026-11-01', '2026-11-09']) {
          await insertBackup(world.world.database.dataSource, { id }, 'verified', { at: new Date(`${day}T02:00:00Z`) });
        }
        await db().query(`update operations set state = 'done' where tenant_id = $1`, [id]);
        return stack;
      }),
    );
  }

  it('each stack that has any to lose has its own moment in the hour from three on, once a night', async () => {
    const [kept, ...others] = await stacks(5);
    await db().query(`delete from backups where tenant_id = $1 and taken_at < '2026-11-05'`, [kept!.id]);
    // One that rests is pruned as well.
    await db().update(TenantEntity, { id: others[0]!.id }, { desired: 'stopped', observed: 'stopped' });
    expect(await order(at('02:59:59'))).toEqual([]);
    const moments = new Map<string, number>();
    for (let minute = 0; minute <= 60; minute += 5) {
      for (const slug of await order(new Date(at('03:00:00').getTime() + minute * 60_000))) {
        moments.set(slug, minute);
      }
    }
    expect([...moments.keys()].toSorted()).toEqual(others.map(({ slug }) => slug).toSorted());
    expect(new Set(moments.values()).size).toBeGreaterThan(1);
    await db().query(`update operations set state = 'done', created_at = $1 where kind = 'prune'`, [at('03:30:00')]);
    expect(await order(at('05:00:00'))).toEqual([]);
  });

  it('FM-10 no more are ordered at once than backups are, and the others at the next look', async () => {
    const [stack] = await stacks(1);
    const { id } = stack!;
    await db().query(
      `insert into tenants
       select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(),
                'slug', 'u' || translate(lpad(n::text, 6, '0'), '0123456789', 'abcdefghij')))).*
         from tenants one, generate_series(1, 104) n where one.id = $1`,
      [id],
    );
    await db().query(
      `insert into backups
       select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(), 'operation_id', gen_random_uuid(),
                'tenant_id', t.id))).*
         from backups one, tenants t where one.tenant_id = $1 and t.slug ~ '^ua[a-j]{5}$'`,
      [id],
    );
    const first = await order(at('05:00:00'));
    const second = await order(at('05:05:00'));
    expect([first.length, new Set([...first, ...second]).size]).toEqual([100, 105]);
    await db().query(`delete from tenants where slug ~ '^ua[a-j]{5}$'`);
  });

  it('waits while a copy is made of the stack’s backups', async () => {
    const [stack] = await stacks(1);
    await db().query('update plans set stacks = 3');
    const { id: backup } = await db().findOneOrFail(BackupEntity, {
      where: { tenantId: stack!.id },
      order: { takenAt: 'DESC' },
    });
    await world.world.stacks.clone(stack!.owner, stack!.slug, { backup });
    expect(await order(at('05:00:00'))).toEqual([]);
    await db().query(`update operations set state = 'done' where kind = 'clone'`);
    expect(await order(at('05:00:00'))).toEqual([stack!.slug]);
  });

  it('is that of the platform’s zone, tries a failed one again, and leaves the day alone', async () => {
    const [stack] = await stacks(1);
    expect(await order(at('01:59:00'), 'Europe/Berlin')).toEqual([]);
    expect(await order(at('03:00:00'), 'Europe/Berlin')).toEqual([stack!.slug]);
    await db().query(`update operations set state = 'failed', created_at = $1 where kind = 'prune'`, [at('03:00:00')]);
    expect(await order(at('03:29:00'), 'Europe/Berlin')).toEqual([]);
    expect(await order(at('03:31:00'), 'Europe/Berlin')).toEqual([stack!.slug]);
    await db().query(`delete from operations where kind = 'prune'`);
    expect(await order(at('09:01:00'), 'Europe/Berlin')).toEqual([]);
  });
});

it('only operators may look at what goes, and have it gone', async () => {
  const stack = await world.stack();
  const service = new RetentionService(
    {
      dataSource: world.world.database.dataSource,
      queue: world.world.queue,
      now: () => new Date(),
      places: undefined as never,
    },
    'UTC',
  );
  await expect(service.expired(stack.owner)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  await expect(service.prune(stack.owner, stack.slug)).rejects.toMatchObject({ code: 'FORBIDDEN' });
});
