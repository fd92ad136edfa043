import { waitFor } from '#libs/async';
import type { Accepted, OperationKind } from '#libs/contracts';
import { HeartbeatEntity, OperationEntity, ReleaseEntity, TenantEntity } from '#libs/db';
import type { StackBackups } from '#libs/orchestrator';
import { insertBackup } from '../support/backup-rows.js';
import { nextRelease } from '../support/next-release.js';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

// What takes the place of what is open, and what is given the open one.

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
let newer: ReleaseEntity;
const never = new AbortController().signal;

const db = () => world.database.dataSource.manager;
const row = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });
const tenant = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });

beforeAll(async () => {
  world = await stackWorld();
  [, newer] = await nextRelease(world);
});
afterAll(() => world.close());

type RunOptions = NonNullable<Parameters<StackWorld['runner']>[0]>;
type Owner = Awaited<ReturnType<StackWorld['account']>>;
interface Stack {
  owner: Owner;
  slug: string;
  id: string;
}

async function run(accepted: Accepted, options: RunOptions = {}): Promise<OperationEntity> {
  await world.runner(options).run(accepted.operation.id, accepted.stack.id, never);
  return row(accepted.operation.id);
}

async function running(): Promise<Stack> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done', error: null });
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

const states = async (id: string): Promise<string[]> => {
  const owner = { platform: world.database.platformId, tenant: id };
  const { containers } = await world.engine.observe(owner, { deadlineMs: 1_000 });
  return containers.map(({ status }) => status);
};

/** Begins, says so, and goes on only until it is called off. */
function lasting(): { begun: Promise<void>; work: (options: { signal?: AbortSignal }) => Promise<never> } {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  return {
    begun,
    work: ({ signal }) => {
      resolve();
      return new Promise((_resolve, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      );
    },
  };
}

const taken: StackBackups = {
  dump: () => Promise.resolve('dumped'),
  store: () => Promise.resolve('stored'),
  prove: () => Promise.resolve('proven'),
  prune: () => Promise.resolve('pruned'),
  kept: () => Promise.resolve('kept'),
  giveUp: () => Promise.resolve(),
  load: () => Promise.resolve('loaded'),
  swap: () => Promise.resolve('swapped'),
  roomToCarry: () => Promise.resolve(),
  carry: () => Promise.resolve('carried'),
  setPassword: () => Promise.resolve(),
  erase: () => Promise.resolve(null),
};

describe('asked for again while it is open', () => {
  const toAState: [OperationKind, (stack: Stack) => Promise<Accepted>, (stack: Stack) => Promise<unknown>][] = [
    ['stop', ({ owner, slug }) => world.stacks.request(owner, slug, 'stop'), () => Promise.resolve()],
    [
      'start',
      ({ owner, slug }) => world.stacks.request(owner, slug, 'start'),
      async ({ owner, slug }) => run(await world.stacks.request(owner, slug, 'stop')),
    ],
    ['hibernate', ({ owner, slug }) => world.sleep.hibernate(owner, slug), rests],
    [
      'wake',
      ({ owner, slug }) => world.sleep.wake(owner, slug),
      async (stack) => {
        await rests(stack);
        await run(await world.sleep.hibernate(stack.owner, stack.slug));
      },
    ],
    [
      'suspend',
      async ({ slug }) => world.holds.suspend(await world.operator(), slug, 'a note'),
      () => Promise.resolve(),
    ],
    ['resume', async ({ slug }) => world.holds.resume(await world.operator(), slug), () => Promise.resolve()],
    ['destroy', ({ owner, slug }) => world.stacks.request(owner, slug, 'destroy'), () => Promise.resolve()],
  ];

  function rests({ id }: Stack): Promise<unknown> {
    const beat = { at: new Date(), bots: 0, runningBots: 0, openOrders: 0, equity: '0' };
    return db().upsert(HeartbeatEntity, { tenantId: id, ...beat }, ['tenantId']);
  }

  it.each(toAState)('a %s is the open one, also for two who ask at once', async (kind, ask, first) => {
    const stack = await running();
    await first(stack);
    const [one, two] = await Promise.all([ask(stack), ask(stack)]);
    expect(two.operation).toMatchObject({ id: one.operation.id, kind });
    expect((await ask(stack)).operation.id).toBe(one.operation.id);
    expect(await run(one)).toMatchObject({ state: 'done', error: null });
    expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind })).toBe(1);
  });

  it('a restart is another one, and refused', async () => {
    const { owner, slug } = await running();
    const restart = await world.stacks.request(owner, slug, 'restart');
    await expect(world.stacks.request(owner, slug, 'restart')).rejects.toMatchObject({
      code: 'TENANT_BUSY',
      details: { kind: 'restart', operationId: restart.operation.id },
    });
    await run(restart);
  });
});

describe('a stop takes the place', () => {
  it('of a creation nobody has begun, and a start makes the stack', async () => {
    const owner = await world.account();
    const created = await world.stacks.create(owner, { template: 'standard' });
    const { id, slug } = created.stack;
    const stop = await world.stacks.request(owner, slug, 'stop');
    expect(await row(created.operation.id)).toMatchObject({ state: 'cancelled', error: { details: { why: 'stop' } } });
    expect(await run(stop)).toMatchObject({ state: 'done', error: null });
    expect(await states(id)).toEqual([]);
    expect(await tenant(id)).toMatchObject({ desired: 'stopped', observed: 'stopped', reason: null });
    expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'stopped', openOperation: null });
    expect(await run(await world.stacks.request(owner, slug, 'start'))).toMatchObject({ state: 'done', error: null });
    expect(await states(id)).toEqual(['running', 'running', 'running']);
    expect(await tenant(id)).toMatchObject({ observed: 'running', provisioningGeneration: 0 });
  });

  it('of a creation under way: what runs by then is stopped, and a start goes on with it', async () => {
    const owner = await world.account();
    const created = await world.stacks.create(owner, { template: 'standard' });
    const { id, slug } = created.stack;
    const { begun, work } = lasting();
    const runner = world.runner({ probes: { ...healthyProbes, ready: (_facts, bounds) => work(bounds) } });
    const provisioning = runner.run(created.operation.id, id, never);
    await begun;
    expect(await states(id)).toEqual(['running', 'running', 'running']);
    const stop = await world.stacks.request(owner, slug, 'stop');
    await runner.run(stop.operation.id, id, never);
    await provisioning;
    expect((await row(created.operation.id)).state).toBe('cancelled');
    expect(await row(stop.operation.id)).toMatchObject({ state: 'done', error: null });
    expect(await states(id)).toEqual(['exited', 'exited', 'exited']);
    // It was never served: an empty database is not lost data yet.
    expect(await tenant(id)).toMatchObject({ desired: 'stopped', observed: 'stopped', provisioningGeneration: 1 });
    expect(await run(await world.stacks.request(owner, slug, 'start'))).toMatchObject({ state: 'done', error: null });
    expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'running' });
  });

  it('of a resume, and the stack is held no more and stopped', async () => {
    const { owner, slug, id } = await running();
    const operator = await world.operator();
    await run(await world.holds.suspend(operator, slug, 'a note'));
    const resume = await world.holds.resume(operator, slug);
    expect(await run(await world.stacks.request(owner, slug, 'stop'))).toMatchObject({ state: 'done' });
    expect((await row(resume.operation.id)).state).toBe('cancelled');
    expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'stopped', holds: [] });
    expect(await states(id)).toEqual(['exited', 'exited', 'exited']);
  });

  const order = async (kind: 'upgrade' | 'restore', stack: Stack): Promise<Accepted> =>
    kind === 'upgrade'
      ? world.upgrades.upgrade(await world.operator(), stack.slug, { release: newer.id })
      : world.backups.restore(stack.owner, stack.slug, {
          backup: await insertBackup(world.database.dataSource, stack, 'verified'),
          confirm: stack.slug,
        });

  it.each(['upgrade', 'restore'] as const)(
    'of the backup that goes before (%s), and nothing else is done',
    async (kind) => {
      const stack = await running();
      const { releaseId, epoch } = await tenant(stack.id);
      const accepted = await order(kind, stack);
      const { begun, work } = lasting();
      const runner = world.runner({ backups: { ...taken, dump: work } });
      const working = runner.run(accepted.operation.id, stack.id, never);
      await begun;
      expect(await states(stack.id)).toEqual(['running', 'running', 'running']);
      const stop = await world.stacks.request(stack.owner, stack.slug, 'stop');
      await runner.run(stop.operation.id, stack.id, never);
      await working;
      expect(await row(accepted.operation.id)).toMatchObject({
        state: 'cancelled',
        error: { details: { why: 'stop' } },
      });
      expect(await row(stop.operation.id)).toMatchObject({ state: 'done', error: null });
      expect(await states(stack.id)).toEqual(['exited', 'exited', 'exited']);
      const after = { desired: 'stopped', observed: 'stopped', releaseId, epoch } as const;
      expect(await tenant(stack.id)).toMatchObject(after);
    },
  );

  it.each(['upgrade', 'restore'] as const)('no more once it touches the stack (%s)', async (kind) => {
    const stack = await running();
    const accepted = await order(kind, stack);
    const { begun, work } = lasting();
    const stopping = new AbortController();
    const runner = world.runner({
      backups: taken,
      probes: { ...healthyProbes, ready: (_facts, bounds) => work(bounds) },
    });
    const working = runner.run(accepted.operation.id, stack.id, stopping.signal).catch((error: unknown) => error);
    await begun;
    await expect(world.stacks.request(stack.owner, stack.slug, 'stop')).rejects.toMatchObject({
      code: 'TENANT_BUSY',
      details: { kind },
    });
    stopping.abort(new Error('the agent is stopping'));
    await working;
    expect(await run(accepted, { backups: taken })).toMatchObject({ state: 'done', error: null });
  });

  it('of an upgrade that is about to begin, whose release then is not taken', async () => {
    const stack = await running();
    const { releaseId } = await tenant(stack.id);
    const accepted = await order('upgrade', stack);
    const { dataSource } = world.database;
    const holder = dataSource.createQueryRunner();
    const runner = world.runner({
      backups: {
        ...taken,
        // The stop has the stack's row from here on, and has not said yet what becomes of the upgrade.
        prove: async () => {
          await holder.startTransaction();
          await holder.query('select from tenants where id = $1 for update', [stack.id]);
          return 'proven';
        },
      },
    });
    const upgrading = runner.run(accepted.operation.id, stack.id, never);
    await waitFor(
      async () => {
        const [waiting] = await dataSource.query<{ n: string }[]>(
          `select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        return Number(waiting?.n) > 0 || undefined;
      },
      { what: 'the upgrade waiting for the row', deadlineMs: 10_000 },
    );
    await holder.query(
      `update operations set state = 'cancelled', finished_at = now(), fencing = fencing + 1, lease_owner = null, lease_expires_at = null where id = $1`,
      [accepted.operation.id],
    );
    await holder.commitTransaction();
    await holder.release();
    await upgrading;
    expect(await tenant(stack.id)).toMatchObject({ releaseId });
  });
});
