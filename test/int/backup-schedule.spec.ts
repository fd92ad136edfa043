import type { BackupState } from '#libs/contracts';
import { BackupEntity, HoldEntity, OperationEntity, TenantEntity } from '#libs/db';
import { orderDueBackups } from '#libs/tenants';
import { insertBackup } from '../support/backup-rows.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

/** A winter's day: Berlin is an hour ahead of UTC. */
const DAY = '2026-11-10';
const at = (time: string, day = DAY): Date => new Date(`${day}T${time}Z`);
const YESTERDAY = '2026-11-09';

let world: StackWorld;
beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());
afterEach(async () => {
  await world.database.dataSource.query(`update tenants set desired = 'stopped', observed = 'stopped'`);
});

const db = () => world.database.dataSource.manager;
const order = (now: Date, zone = 'UTC'): Promise<string[]> =>
  orderDueBackups({ dataSource: world.database.dataSource, queue: world.queue }, { now, zone });

interface Stack {
  id: string;
  slug: string;
}

async function running(createdAt: Date): Promise<Stack> {
  const { operation, stack } = await world.stacks.create(await world.account(), { template: 'standard' });
  await world.runner().run(operation.id, stack.id, new AbortController().signal);
  await db().update(TenantEntity, { id: stack.id }, { createdAt });
  return { id: stack.id, slug: stack.slug };
}

const backup = (stack: Stack, state: BackupState, when: Date): Promise<string> =>
  insertBackup(world.database.dataSource, stack, state, { at: when });

/** Ends what was ordered, as if nothing had come of it. */
const endAll = (): Promise<unknown> =>
  db().query(`update operations set state = 'cancelled' where state in ('queued', 'running')`);

it('each stack has its own moment in the hour from two on, and is asked for once', async () => {
  const stacks = [];
  for (let count = 0; count < 6; count += 1) {
    stacks.push(await running(at('12:00:00', YESTERDAY)));
  }
  expect(await order(at('01:59:59'))).toEqual([]);
  const moments = new Map<string, number>();
  for (let minute = 0; minute <= 60; minute += 5) {
    for (const slug of await order(new Date(at('02:00:00').getTime() + minute * 60_000))) {
      expect(moments.has(slug)).toBe(false);
      moments.set(slug, minute);
    }
  }
  expect([...moments.keys()].toSorted()).toEqual(stacks.map(({ slug }) => slug).toSorted());
  expect(new Set(moments.values()).size).toBeGreaterThan(1);
  const [operation] = await db().findBy(OperationEntity, { tenantId: stacks[0]!.id, kind: 'backup' });
  expect(operation).toMatchObject({ state: 'queued', exclusive: false, input: { reason: 'schedule' } });
  await endAll();
});

it('two o’clock is that of the platform’s zone', async () => {
  const stack = await running(at('12:00:00', YESTERDAY));
  expect(await order(at('00:59:00'), 'Europe/Berlin')).toEqual([]);
  expect(await order(at('02:00:00'), 'Europe/Berlin')).toEqual([stack.slug]);
  await endAll();
});

it('one that was made since is due the next day', async () => {
  const stack = await running(at('02:10:00'));
  expect(await order(at('23:00:00'))).toEqual([]);
  expect(await order(at('03:00:00', '2026-11-11'))).toEqual([stack.slug]);
  await endAll();
});

it('one that counts is enough for the day; one that failed is tried again after half an hour', async () => {
  const stack = await running(at('12:00:00', YESTERDAY));
  await backup(stack, 'failed', at('02:40:00'));
  expect(await order(at('03:09:00'))).toEqual([]);
  expect(await order(at('03:11:00'))).toEqual([stack.slug]);
  await endAll();
  await db().delete(BackupEntity, { tenantId: stack.id });
  await backup(stack, 'stored', at('02:20:00'));
  expect(await order(at('03:00:00'))).toEqual([stack.slug]);
  await endAll();
  await backup(stack, 'verified', at('02:50:00'));
  expect(await order(at('12:00:00'))).toEqual([]);
  expect(await order(at('03:00:00', '2026-11-11'))).toEqual([stack.slug]);
  await endAll();
});

it('one that was seen unchanged since needs none that day', async () => {
  const stack = await running(at('12:00:00', YESTERDAY));
  const id = await backup(stack, 'verified', at('02:10:00', YESTERDAY));
  await db().update(BackupEntity, { id }, { sameUntil: at('02:20:00') });
  expect(await order(at('12:00:00'))).toEqual([]);
  expect(await order(at('03:00:00', '2026-11-11'))).toEqual([stack.slug]);
  await endAll();
});

it('what rests, is held or is at work is left alone', async () => {
  const rests = await running(at('12:00:00', YESTERDAY));
  await db().update(TenantEntity, { id: rests.id }, { desired: 'hibernated', observed: 'stopped' });
  const sick = await running(at('12:00:00', YESTERDAY));
  await db().update(TenantEntity, { id: sick.id }, { observed: 'failed' });
  const held = await running(at('12:00:00', YESTERDAY));
  await db().insert(HoldEntity, { tenantId: held.id, reason: 'operator', note: 'x', createdAt: at('00:00:00') });
  const works = await running(at('12:00:00', YESTERDAY));
  await db().update(OperationEntity, { tenantId: works.id }, { state: 'running', finishedAt: null });
  const well = await running(at('12:00:00', YESTERDAY));
  expect(await order(at('03:00:00'))).toEqual([well.slug]);
});
