import { waitFor } from '#libs/async';
import { DomainError, type Accepted, type ErrorDetails } from '#libs/contracts';
import { EdgeSlotEntity, OperationEntity, TenantEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import type { Probes } from '#libs/orchestrator';
import { createLogger } from '#libs/telemetry';
import { OperationSweeper } from '../../apps/agent/src/operation-sweeper.js';
import { publishedRoutes } from '../../apps/agent/src/published-routes.js';
import { StackChecker } from '../../apps/agent/src/stack-checker.js';
import { ENGINE_ID, healthyProbes, PLACES, stackWorld, type StackWorld } from '../support/stack-world.js';
import { parsePool } from '#libs/tenants';

// How operations end when they do not simply succeed: cancelled, out of tries, overtaken, without their data.

let world: StackWorld;
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
}, 60_000);
afterAll(() => world.close());
afterEach(() => {
  world.engine.log.reset();
  world.engine.log.down = false;
});

type Owner = Awaited<ReturnType<StackWorld['account']>>;

const row = (id: string): Promise<OperationEntity> =>
  world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id });
const tenant = (id: string): Promise<TenantEntity> =>
  world.database.dataSource.manager.findOneByOrFail(TenantEntity, { id });

async function run(accepted: Accepted, options: Parameters<StackWorld['runner']>[0] = {}): Promise<OperationEntity> {
  await world.runner(options).run(accepted.operation.id, accepted.stack.id, never);
  return row(accepted.operation.id);
}

async function provisioned(): Promise<{ owner: Owner; id: string; slug: string }> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done', error: null });
  return { owner, id: accepted.stack.id, slug: accepted.stack.slug };
}

const mine = (slug: string): string[] =>
  Object.values(world.engine.names())
    .flat()
    .filter((name) => name.includes(slug));

/** The same engine with one of its calls done otherwise. */
function engineWith<K extends keyof Engine>(name: K, call: Engine[K]): Engine {
  return new Proxy<Engine>(world.engine, {
    get(target, asked, receiver) {
      const member: unknown = asked === name ? call : Reflect.get(target, asked, receiver);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}

describe('cancelling', () => {
  it('a queued operation gives back what was wanted before it', async () => {
    const { owner, id, slug } = await provisioned();
    const stop = await world.stacks.request(owner, slug, 'stop');
    expect((await tenant(id)).desired).toBe('stopped');
    const cancelled = await world.operations.cancel(owner, stop.operation.id);
    expect(cancelled.state).toBe('cancelled');
    expect(cancelled.steps.map(({ state }) => state)).toEqual(['skipped', 'skipped']);
    expect((await tenant(id)).desired).toBe('running');
    expect((await world.stacks.get(owner, slug)).status).toBe('running');
  });

  it('a queued creation leaves a stopped stack, which may be started or destroyed', async () => {
    const owner = await world.account();
    const { stack, operation } = await world.stacks.create(owner, { template: 'standard' });
    await world.operations.cancel(owner, operation.id);
    expect((await tenant(stack.id)).desired).toBe('stopped');
    expect(await run(await world.stacks.request(owner, stack.slug, 'start'))).toMatchObject({
      state: 'done',
      error: null,
    });
    expect(mine(stack.slug)).toHaveLength(9);
  });

  it('a destroy is refused, queued or not', async () => {
    const { owner, id, slug } = await provisioned();
    const destroy = await world.stacks.request(owner, slug, 'destroy');
    await expect(world.operations.cancel(owner, destroy.operation.id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect((await tenant(id)).desired).toBe('deleted');
    expect(await run(destroy)).toMatchObject({ state: 'done' });
  });

  it('reaches an operation that waits for its engine', async () => {
    const { owner, slug } = await provisioned();
    const restart = await world.stacks.request(owner, slug, 'restart');
    world.engine.log.down = true;
    await run(restart);
    world.engine.log.down = false;
    expect((await world.operations.cancel(owner, restart.operation.id)).state).toBe('running');
    const calls = world.engine.log.mutations().length;
    expect((await run(restart)).state).toBe('cancelled');
    expect(world.engine.log.mutations()).toHaveLength(calls);
  });
});

it('a request that waited for the end of a destroy finds no stack', async () => {
  const owner = await world.account();
  const created = await world.stacks.create(owner, { template: 'standard' });
  const { id, slug } = created.stack;
  await world.operations.cancel(owner, created.operation.id);
  const { dataSource } = world.database;
  const holder = dataSource.createQueryRunner();
  await holder.startTransaction();
  await holder.query('delete from tenants where id = $1', [id]);
  const late = world.stacks.request(owner, slug, 'stop').catch((error: unknown) => error);
  await waitFor(
    async () => {
      const [waiting] = await dataSource.query<{ n: string }[]>(
        `select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return Number(waiting?.n) > 0 || undefined;
    },
    { what: 'the request waiting for the row', deadlineMs: 10_000 },
  );
  await holder.commitTransaction();
  await holder.release();
  expect(await late).toMatchObject({ code: 'NOT_FOUND' });
  expect(await dataSource.manager.countBy(OperationEntity, { tenantId: id, kind: 'stop' })).toBe(0);
});

describe('a stack that was served', () => {
  it('ends with DATA_MISSING when its data is gone, before an empty volume is made', async () => {
    const { owner, slug } = await provisioned();
    await run(await world.stacks.request(owner, slug, 'stop'));
    const bounds = { deadlineMs: 1_000 };
    const { platformId } = world.database;
    const ours = { platform: platformId, tenant: (await world.stacks.get(owner, slug)).id };
    const data = mine(slug).find((name) => name.endsWith('-data-1')) ?? '';
    for (const name of mine(slug).filter((one) => /-(postgres|redis|runtime)$/.test(one))) {
      await world.engine.removeContainer(name, ours, bounds);
    }
    await world.engine.removeVolume(data, ours, bounds);
    world.engine.log.reset();

    const ended = await run(await world.stacks.request(owner, slug, 'start'));
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'DATA_MISSING', details: { volume: data } } });
    expect(mine(slug)).not.toContain(data);
    expect(world.engine.log.mutations()).toEqual([]);
    const view = await world.stacks.get(owner, slug);
    expect(view).toMatchObject({ status: 'attention', reasonCode: 'DATA_MISSING' });
    expect(await run(await world.stacks.request(owner, slug, 'destroy'))).toMatchObject({ state: 'done' });
    expect(mine(slug)).toEqual([]);
  });

  it('gets a lost cache anew, which holds nothing that is not elsewhere', async () => {
    const { owner, id, slug } = await provisioned();
    await run(await world.stacks.request(owner, slug, 'stop'));
    const bounds = { deadlineMs: 1_000 };
    const ours = { platform: world.database.platformId, tenant: id };
    const cache = mine(slug).find((name) => name.endsWith('-cache-1')) ?? '';
    await world.engine.removeContainer(mine(slug).find((name) => name.endsWith('-redis')) ?? '', ours, bounds);
    await world.engine.removeVolume(cache, ours, bounds);
    expect(await run(await world.stacks.request(owner, slug, 'start'))).toMatchObject({ state: 'done' });
    expect(mine(slug)).toContain(cache);
  });
});

describe('tries', () => {
  it('wait longer each time while the engine is away, and go on by themselves', async () => {
    const { owner, slug } = await provisioned();
    const restart = await world.stacks.request(owner, slug, 'restart');
    world.engine.log.down = true;
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const at = await run(restart);
      expect(at).toMatchObject({ state: 'running', leaseOwner: null, attempts: attempt });
      waits.push((at.notBefore?.getTime() ?? 0) - Date.now());
      // Too early: nobody takes it.
      expect((await run(restart)).attempts).toBe(attempt);
      await world.database.dataSource.query('update operations set not_before = null where id = $1', [at.id]);
    }
    expect(waits[0]).toBeGreaterThan(0);
    expect(waits[3]).toBeGreaterThan(waits[0] ?? Infinity);
    world.engine.log.down = false;
    expect(await run(restart)).toMatchObject({ state: 'done' });
  });

  it.each([
    ['the engine stays away', 'ENGINE_UNREACHABLE'],
    ['the agent dies each time', 'GAVE_UP'],
  ] as const)('end when %s, with what to do next, and the way out is open', async (_what, code) => {
    const { owner, id, slug } = await provisioned();
    const restart = await world.stacks.request(owner, slug, 'restart');
    await world.database.dataSource.query(
      code === 'GAVE_UP'
        ? `update operations set state = 'running', attempts = 20, lease_owner = 'dead', lease_expires_at = now() - interval '1 second' where id = $1`
        : 'update operations set attempts = 19 where id = $1',
      [restart.operation.id],
    );
    world.engine.log.down = code === 'ENGINE_UNREACHABLE';
    const ended = await run(restart);
    expect(ended).toMatchObject({ state: 'failed', error: { code, details: { attempts: expect.any(Number) } } });
    expect(ended.error?.message).toMatch(/[Ss]tart .*again/);
    expect(await tenant(id)).toMatchObject({ observed: 'failed', reasonCode: code });
    world.engine.log.down = false;
    expect(await run(await world.stacks.request(owner, slug, 'start'))).toMatchObject({ state: 'done' });
    expect((await world.stacks.get(owner, slug)).status).toBe('running');
  });

  it('count also what a database ended that comes and goes, with a pause before each', async () => {
    const { owner, slug } = await provisioned();
    const restart = await world.stacks.request(owner, slug, 'restart');
    let seen = 0;
    const engine = engineWith('observe', (...args) => {
      seen += 1;
      return seen <= 4
        ? Promise.reject(Object.assign(new Error('too many connections'), { code: '53300' }))
        : world.engine.observe(...args);
    });
    const begun = performance.now();
    expect(await run(restart, { engine })).toMatchObject({ state: 'done', attempts: 5 });
    expect(performance.now() - begun).toBeGreaterThan(1_000);
  });

  it('are one where the stack itself refuses to answer: that is not the portal’s database', async () => {
    const owner = await world.account();
    const accepted = await world.stacks.create(owner, { template: 'standard' });
    const refused = Object.assign(new Error('connect ECONNREFUSED 10.128.0.4:8080'), { code: 'ECONNREFUSED' });
    let asked = 0;
    const ready = (): Promise<never> => {
      asked += 1;
      return Promise.reject(
        new DomainError('HEALTH_GATE_FAILED', { cause: new Error('not in 60 s', { cause: refused }) }),
      );
    };
    const ended = await run(accepted, { probes: { ...healthyProbes, ready } });
    expect(ended).toMatchObject({ state: 'failed', attempts: 1, error: { code: 'HEALTH_GATE_FAILED' } });
    expect(asked).toBe(1);
  });

  it('an agent that was stopped on purpose costs none', async () => {
    const { owner, slug } = await provisioned();
    const restart = await world.stacks.request(owner, slug, 'restart');
    const stopping = new AbortController();
    const engine = engineWith('stopContainer', () => {
      stopping.abort(new Error('the agent is stopping'));
      return Promise.reject(new Error('cut off'));
    });
    await world
      .runner({ engine })
      .run(restart.operation.id, restart.stack.id, stopping.signal)
      .catch((error: unknown) => error);
    expect(await row(restart.operation.id)).toMatchObject({ state: 'running', leaseOwner: null, attempts: 0 });
    expect(await run(restart)).toMatchObject({ state: 'done', attempts: 1 });
  });

  it.each([
    ['does not is the end of its agent', 50, 1],
    ['does so in its time is not', 60_000, 0],
  ])('one that is told to end and %s', async (_what, obeysWithinMs, times) => {
    const { owner, slug } = await provisioned();
    const restart = await world.stacks.request(owner, slug, 'restart');
    const stopping = new AbortController();
    const [begun, hung] = [Promise.withResolvers<void>(), Promise.withResolvers<never>()];
    const engine = engineWith('observe', () => {
      begun.resolve();
      return hung.promise;
    });
    const told: string[] = [];
    const stuck = ({ code, message }: DomainError): void => void told.push(`${code}: ${message}`);
    const agent = world.runner({ engine, obeysWithinMs, stuck });
    const running = agent.run(restart.operation.id, restart.stack.id, stopping.signal).catch((error: unknown) => error);
    await begun.promise;
    stopping.abort(new Error('the agent is stopping'));
    await waitFor(() => Promise.resolve(told.length === times || undefined), {
      what: 'being told of it',
      deadlineMs: 10_000,
    });
    // As the end of its process ends it.
    hung.reject(new Error('gone'));
    await running;
    expect(await run(restart)).toMatchObject({ state: 'done' });
    const words = new RegExp(`^DEADLINE_EXCEEDED: The phase \\w+ of restart ${restart.operation.id} was told to end`);
    expect(told).toEqual(Array.from({ length: times }, () => expect.stringMatching(words)));
  });

  it('a destroy that failed says so instead of deleting for ever, and may be asked for again', async () => {
    const { owner, slug } = await provisioned();
    const destroy = await world.stacks.request(owner, slug, 'destroy');
    const method = 'removeVolume';
    world.engine.log.failOn({ method, nth: world.engine.log.count(method) + 1, code: 'ENGINE_REFUSED' });
    expect((await run(destroy)).state).toBe('failed');
    expect((await world.stacks.get(owner, slug)).status).toBe('attention');
    world.engine.log.reset();
    expect(await run(await world.stacks.request(owner, slug, 'destroy'))).toMatchObject({ state: 'done' });
    expect(mine(slug)).toEqual([]);
  });
});

const checkerWith = ({ probes, engine = world.engine }: { probes: Probes; engine?: Engine }): StackChecker =>
  new StackChecker({
    queue: world.queue,
    portalUrl: 'https://aviary.localhost',
    dataSource: world.database.dataSource,
    engine,
    probes,
    secrets: { stackKeys: () => Promise.reject(new Error('no stack of this test is in a rollout')) },
    settings: {
      platformId: world.database.platformId,
      engineId: ENGINE_ID,
      pool: parsePool('10.128.0.0/14'),
      ...PLACES,
    },
    logger: createLogger('test', 'silent'),
    now: () => new Date(),
  });

it('a look that began before an operation writes nothing over what the operation found, and names who is unwell', async () => {
  const { owner, id, slug } = await provisioned();
  const silent = await provisioned();
  const well = await provisioned();
  await world.database.dataSource.query(`update tenants set checked_at = now() - interval '1 hour'`);
  const { promise: looked, resolve: inLook } = Promise.withResolvers<void>();
  const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
  const checker = checkerWith({
    probes: {
      ...healthyProbes,
      served: async (facts) => {
        if (facts.slug === slug) {
          inLook();
          await goOn;
          throw new DomainError('HEALTH_GATE_FAILED', { message: 'seen while it was being stopped' });
        }
        if (facts.slug === silent.slug) {
          throw new DomainError('HEALTH_GATE_FAILED', { message: 'its containers run, and it does not answer' });
        }
      },
    },
  });
  const turn = checker.turn(never);
  await looked;
  await run(await world.stacks.request(owner, slug, 'stop'));
  letGo();
  const unwell = await turn;
  expect([silent.id, well.id].map((each) => unwell.includes(each))).toEqual([true, false]);
  expect(await tenant(id)).toMatchObject({ observed: 'stopped', reason: null });
  expect((await world.stacks.get(owner, slug)).status).toBe('stopped');
});

it('a look that nobody answered asks by address, and says which layer of the stack fails', async () => {
  const { owner, id, slug } = await provisioned();
  const gate = (details: ErrorDetails) => () =>
    Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'x', details }));
  const bad = async (probes: Partial<Probes>): Promise<string[]> => {
    await checkerWith({ probes: { ...healthyProbes, ...probes } }).look(id, never);
    const { layers } = await world.stacks.get(owner, slug);
    return layers.filter(({ state }) => state === 'bad').map(({ layer }) => layer);
  };
  const next = async () => (await world.stacks.get(owner, slug)).next?.kind;
  expect(await bad({ served: gate({}) })).toEqual(['route']);
  expect(await next()).toBe('route');
  expect(await bad({ served: gate({}), ready: gate({}) })).toEqual(['runtime']);
  expect(await next()).toBe('repair');
  expect(await bad({ served: gate({ tls: 'CERT_HAS_EXPIRED' }) })).toEqual(['certificate']);
  expect(await next()).toBe('route');
  // what the runtime said itself needs no second look
  expect(await bad({ served: gate({ ready: 'REDIS_AWAY' }), ready: gate({}) })).toEqual(['redis']);
  expect(await bad({})).toEqual([]);
});

it('one stack that cannot be looked at keeps no other from being looked at', async () => {
  const good = await provisioned();
  const bad = await provisioned();
  await world.database.dataSource.query(`update tenants set checked_at = null where id = any($1)`, [[good.id, bad.id]]);
  const checker = checkerWith({
    engine: engineWith('observe', (owner, bounds) =>
      owner.tenant === bad.id
        ? Promise.reject(new DomainError('ENGINE_REFUSED', { message: 'not this one' }))
        : world.engine.observe(owner, bounds),
    ),
    probes: {
      ...healthyProbes,
      served: () => new Promise((resolve) => setTimeout(resolve, 200)),
    },
  });
  await expect(checker.turn(never)).rejects.toMatchObject({ message: expect.stringContaining(bad.slug) as string });
  expect((await tenant(good.id)).checkedAt).not.toBeNull();
  expect((await tenant(bad.id)).checkedAt).toBeNull();
});

it('an agent that comes back publishes the routes of all that is wanted, and one that cannot be made keeps none away', async () => {
  const served = await provisioned();
  const bad = await provisioned();
  const gone = await provisioned();
  const destroy = await world.stacks.request(gone.owner, gone.slug, 'destroy');
  const owner = await world.account();
  const creation = await world.stacks.create(owner, { template: 'standard' });
  const { manager } = world.database.dataSource;
  const slots = await manager.findBy(EdgeSlotEntity, { tenantId: bad.id });
  await manager.delete(EdgeSlotEntity, { tenantId: bad.id });
  const files = await publishedRoutes({
    dataSource: world.database.dataSource,
    facts: {
      platformId: world.database.platformId,
      engineId: ENGINE_ID,
      pool: parsePool('10.128.0.0/14'),
      ...PLACES,
    },
    edge: world.edge,
    logger: createLogger('test', 'silent'),
  });
  const names = files.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining([`${served.slug}.yml`, `${creation.stack.slug}.yml`]));
  expect(names).not.toContain(`${bad.slug}.yml`);
  expect(names).not.toContain(`${gone.slug}.yml`);
  await manager.insert(EdgeSlotEntity, slots);
  await run(destroy);
  await run(creation);
});

it('every end without success has a code and what its text speaks of, for pages in other languages', async () => {
  const owner = await world.account();
  const errorOf = async (accepted: Accepted): Promise<OperationEntity['error']> =>
    (await row(accepted.operation.id)).error;
  const created = await world.stacks.create(owner, { template: 'standard' });
  const { slug } = created.stack;
  await world.operations.cancel(owner, created.operation.id);
  expect(await errorOf(created)).toMatchObject({ code: 'OPERATION_CANCELLED', details: { why: 'before_start' } });

  const started = await world.stacks.request(owner, slug, 'start');
  const stopAt = world.engine.log.count('stopContainer') + 1;
  const unhealthy = () => Promise.reject(new DomainError('HEALTH_GATE_FAILED', { details: { check: 'ready' } }));
  const failed = await run(started, { probes: { ...healthyProbes, ready: unhealthy } });
  expect(failed.error).toMatchObject({ code: 'HEALTH_GATE_FAILED', details: { check: 'ready', next: 'start' } });
  expect(await world.stacks.get(owner, slug)).toMatchObject({
    reasonCode: 'HEALTH_GATE_FAILED',
    reasonParams: { check: 'ready', next: 'start' },
  });

  const stop = await world.stacks.request(owner, slug, 'stop');
  world.engine.log.failOn({ method: 'stopContainer', nth: stopAt, code: 'ENGINE_REFUSED' });
  expect((await run(stop)).error).toMatchObject({ code: 'ENGINE_REFUSED', details: { next: 'stop' } });

  const overtaken = await world.stacks.request(owner, slug, 'start');
  const destroy = await world.stacks.request(owner, slug, 'destroy');
  expect(await errorOf(overtaken)).toMatchObject({ code: 'OPERATION_CANCELLED', details: { why: 'destroy' } });
  expect(await run(destroy)).toMatchObject({ state: 'done' });
});

// Last: from here on the queue itself works, as in an agent.
it('forgotten operations come back through the lane, no more of them at once than the lane has slots', async () => {
  const owner = await world.account('premium');
  const { dataSource } = world.database;
  const opened: Accepted[] = [];
  for (let n = 0; n < 5; n += 1) {
    opened.push(await world.stacks.create(owner, { template: 'standard' }));
  }
  const ids = opened.map(({ operation }) => operation.id);
  // Their jobs are lost, and they have lain about for longer than a job takes to arrive.
  await dataSource.query(`delete from pgboss.job where data->>'operationId' = any($1)`, [ids]);
  await dataSource.query(`update operations set created_at = now() - interval '1 minute' where id = any($1)`, [ids]);
  let working = 0;
  let most = 0;
  const runner = world.runner({
    probes: {
      ...healthyProbes,
      ready: async () => {
        working += 1;
        most = Math.max(most, working);
        await new Promise((resolve) => setTimeout(resolve, 150));
        working -= 1;
      },
    },
  });
  await world.queue.work(
    {
      'engine.operation': async ({ operationId }) => runner.run(operationId, (await row(operationId)).tenantId, never),
    },
    { engineId: ENGINE_ID, concurrency: 2 },
  );
  const logger = createLogger('test', 'silent');
  const lane = { held: [] };
  const sweeper = new OperationSweeper({ dataSource, queue: world.queue, lane, engineId: ENGINE_ID, logger });
  expect(await sweeper.turn()).toBe(5);
  await sweeper.turn();
  const [jobs] = await dataSource.query<{ n: string }[]>(
    `select count(*) as n from pgboss.job where data->>'operationId' = any($1) and state = 'created'`,
    [ids],
  );
  expect(Number(jobs?.n)).toBeLessThanOrEqual(5);
  await waitFor(async () => (await Promise.all(ids.map(row))).every(({ state }) => state === 'done') || undefined, {
    what: 'all five being done',
    deadlineMs: 20_000,
  });
  expect(most).toBe(2);
});
