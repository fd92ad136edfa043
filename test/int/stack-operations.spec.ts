import { setTimeout as pause } from 'node:timers/promises';
import { waitFor, withDeadline } from '#libs/async';
import { DomainError, type Accepted } from '#libs/contracts';
import { HostnameEntity, OperationEntity, TenantEntity, TenantSecretEntity, TenantSubnetEntity } from '#libs/db';
import { neverReady, type Engine } from '#libs/engine';
import { PHASE_HANDLERS, readFacts, type PhaseContext } from '#libs/orchestrator';
import { parsePool } from '#libs/tenants';
import { healthyProbes, PLACES, stackWorld, type StackWorld } from '../support/stack-world.js';

let world: StackWorld;
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
}, 60_000);
afterAll(() => world.close());
afterEach(() => world.engine.log.reset());

type Owner = Awaited<ReturnType<StackWorld['account']>>;

async function run(accepted: Accepted, options: Parameters<StackWorld['runner']>[0] = {}): Promise<OperationEntity> {
  await world.runner(options).run(accepted.operation.id, accepted.stack.id, never);
  return world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: accepted.operation.id });
}

async function provisioned(): Promise<{ owner: Owner; accepted: Accepted; slug: string }> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  const ended = await run(accepted);
  expect(ended).toMatchObject({ state: 'done', error: null });
  return { owner, accepted, slug: accepted.stack.slug };
}

const mine = (slug: string): string[] =>
  Object.values(world.engine.names())
    .flat()
    .filter((name) => name.includes(slug));

it('provisions, stops, starts, restarts and destroys, and leaves nothing', async () => {
  const { owner, accepted, slug } = await provisioned();
  expect(mine(slug)).toHaveLength(9);
  expect((await world.stacks.get(owner, slug)).status).toBe('running');
  expect(await world.folder.list()).toContain(`${slug}.yml`);
  const spec =
    world.engine.fileIn(mine(slug).find((name) => name.endsWith('runtime-secrets')) ?? '', 'spec.json') ?? '{}';
  // Served once: from now on an empty database is lost data, also for a runtime that the engine itself restarts.
  expect(JSON.parse(spec)).toMatchObject({ tenant: accepted.stack.id, slug, generation: 1, provisioningGeneration: 0 });

  for (const [kind, status] of [
    ['stop', 'stopped'],
    ['start', 'running'],
    ['restart', 'running'],
  ] as const) {
    const ended = await run(await world.stacks.request(owner, slug, kind));
    expect(ended).toMatchObject({ state: 'done', error: null });
    expect((await world.stacks.get(owner, slug)).status).toBe(status);
  }

  const destroyed = await run(await world.stacks.request(owner, slug, 'destroy'));
  expect(destroyed).toMatchObject({ state: 'done', error: null });
  expect(mine(slug)).toEqual([]);
  expect(await world.folder.list()).not.toContain(`${slug}.yml`);
  const where = { tenantId: accepted.stack.id };
  const { manager } = world.database.dataSource;
  expect(await manager.countBy(TenantEntity, { id: accepted.stack.id })).toBe(0);
  for (const entity of [TenantSecretEntity, TenantSubnetEntity, HostnameEntity]) {
    expect(await manager.countBy(entity, where)).toBe(0);
  }
  await expect(world.stacks.get(owner, slug)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

it('seals secrets: no generated value stands in a row, label, environment or command', async () => {
  const { slug } = await provisioned();
  const volume = mine(slug).find((name) => name.endsWith('postgres-secrets')) ?? '';
  const password = world.engine.fileIn(volume, 'database-password') ?? '';
  expect(password).toHaveLength(32);
  const calls = JSON.stringify(world.engine.log.calls.filter(({ method }) => method !== 'putFiles'));
  expect(calls).toContain(slug);
  expect(calls).not.toContain(password);
  const rows = await world.database.dataSource.query<{ text: string }[]>(
    `select encode(sealed, 'escape') as text from tenant_secrets union all select row_to_json(o)::text from operations o
     union all select row_to_json(s)::text from operation_steps s union all select row_to_json(t)::text from tenants t`,
  );
  expect(rows.length).toBeGreaterThan(5);
  expect(rows.some(({ text }) => text.includes(password))).toBe(false);
});

it('shows its phases from the first moment and its actions as they were done', async () => {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(accepted.operation.steps.map(({ phase, state }) => [phase, state])).toEqual([
    ['prepare', 'pending'],
    ['converge', 'pending'],
    ['health', 'pending'],
    ['publish', 'pending'],
  ]);
  await run(accepted);
  const { steps } = await world.operations.get(owner, accepted.operation.id);
  expect(steps.filter(({ action }) => action === null).every(({ state }) => state === 'done')).toBe(true);
  expect(steps.filter(({ action }) => action === 'start container')).toHaveLength(3);
  expect(steps.map(({ seq }) => seq)).toEqual(steps.map(({ seq }) => seq).toSorted((a, b) => a - b));
});

it('a stop takes the place of what brings a stack up, and asked for again it is the same one', async () => {
  const owner = await world.account();
  const created = await world.stacks.create(owner, { template: 'standard' });
  await run(created);
  const { slug } = created.stack;
  for (const kind of ['restart', 'start'] as const) {
    const up = await world.stacks.request(owner, slug, kind);
    const stop = await world.stacks.request(owner, slug, 'stop');
    expect(await world.operations.get(owner, up.operation.id)).toMatchObject({
      state: 'cancelled',
      error: { details: { why: 'stop' }, message: 'The stack is being stopped instead.' },
    });
    expect((await world.stacks.request(owner, slug, 'stop')).operation.id).toBe(stop.operation.id);
    await run(stop);
    expect(await world.stacks.get(owner, slug)).toMatchObject({ desired: 'stopped', openOperation: null });
  }
});

it('a start that is being cancelled is not given to who asks for one afterwards', async () => {
  const owner = await world.account();
  const created = await world.stacks.create(owner, { template: 'standard' });
  await run(created);
  const { slug } = created.stack;
  await run(await world.stacks.request(owner, slug, 'stop'));
  const start = await world.stacks.request(owner, slug, 'start');
  await world.database.dataSource.query(`update operations set state = 'running', started_at = now() where id = $1`, [
    start.operation.id,
  ]);
  expect((await world.stacks.request(owner, slug, 'start')).operation.id).toBe(start.operation.id);
  await world.operations.cancel(owner, start.operation.id);
  await expect(world.stacks.request(owner, slug, 'start')).rejects.toMatchObject({ code: 'TENANT_BUSY' });
});

it('refuses a second operation while one is open, but lets destroy take its place', async () => {
  const owner = await world.account();
  const created = await world.stacks.create(owner, { template: 'standard' });
  const { slug } = created.stack;
  await expect(world.stacks.request(owner, slug, 'restart')).rejects.toMatchObject({
    code: 'TENANT_BUSY',
    details: { kind: 'provision', operationId: created.operation.id },
  });
  const destroy = await world.stacks.request(owner, slug, 'destroy');
  expect((await world.operations.get(owner, created.operation.id)).state).toBe('cancelled');
  await run(destroy);
  expect(mine(slug)).toEqual([]);
});

it('a destroy that overtakes a running provision fences it off and leaves nothing', async () => {
  const owner = await world.account();
  const created = await world.stacks.create(owner, { template: 'standard' });
  const { promise: held, resolve: inHealth } = Promise.withResolvers<void>();
  const runner = world.runner({
    probes: {
      ...healthyProbes,
      ready: (_facts, { signal }) => {
        inHealth();
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error)),
        );
      },
    },
  });
  const provisioning = runner.run(created.operation.id, created.stack.id, never);
  await held;
  const destroy = await world.stacks.request(owner, created.stack.slug, 'destroy');
  expect((await world.operations.get(owner, created.operation.id)).error?.message).toBe(
    'The stack is being destroyed instead.',
  );
  await runner.run(destroy.operation.id, created.stack.id, never);
  await provisioning;
  expect(mine(created.stack.slug)).toEqual([]);
  expect((await world.operations.get(owner, created.operation.id)).state).toBe('cancelled');
  expect((await world.operations.get(owner, destroy.operation.id)).state).toBe('done');
});

it('waits for what a cancelled operation still has under way on the engine, so that a destroy sees it', async () => {
  const owner = await world.account();
  const { stack, operation } = await world.stacks.create(owner, { template: 'standard' });
  const { promise: called, resolve: inCall } = Promise.withResolvers<void>();
  const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
  // As a real engine: a caller that hangs up hears of it at once, and the engine finishes all the same.
  const slow = new Proxy<Engine>(world.engine, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (name !== 'createNetwork') {
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return (...[spec, bounds]: Parameters<Engine['createNetwork']>) =>
        withDeadline('createNetwork', bounds, async () => {
          if (spec.name.includes(stack.slug)) {
            inCall();
            await goOn;
          }
          await target.createNetwork(spec, { deadlineMs: 1_000 });
        });
    },
  });
  const runner = world.runner({ engine: slow });
  const provisioning = runner.run(operation.id, stack.id, never);
  await called;
  const destroy = await world.stacks.request(owner, stack.slug, 'destroy');
  const destroying = runner.run(destroy.operation.id, stack.id, never);
  // One that did not wait is over by then; one that does, waits for what is let go below.
  await Promise.race([destroying, pause(1_500)]);
  letGo();
  await Promise.all([provisioning, destroying]);
  expect((await world.operations.get(owner, destroy.operation.id)).state).toBe('done');
  await waitFor(
    () =>
      world.engine.log.calls.some(
        ({ method, args, outcome }) =>
          method === 'createNetwork' && outcome === 'done' && JSON.stringify(args).includes(stack.slug),
      ) || undefined,
    { what: 'the engine having made the network', deadlineMs: 5_000 },
  );
  expect(mine(stack.slug)).toEqual([]);
});

it('ends the permission to begin anew in the files before it ends it in the row', async () => {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  const { slug } = accepted.stack;
  const method = 'fillVolumes';
  world.engine.log.failOn({ method, nth: world.engine.log.count(method) + 2, code: 'ENGINE_UNREACHABLE' });
  expect(await run(accepted)).toMatchObject({ state: 'running' });
  world.engine.log.reset();
  await world.database.dataSource.query('update operations set not_before = null where id = $1', [
    accepted.operation.id,
  ]);
  expect(await run(accepted)).toMatchObject({ state: 'done', error: null });
  const volume = mine(slug).find((name) => name.endsWith('runtime-secrets')) ?? '';
  expect(JSON.parse(world.engine.fileIn(volume, 'spec.json') ?? '{}')).toMatchObject({ provisioningGeneration: 0 });
  const where = { id: accepted.stack.id };
  expect(await world.database.dataSource.manager.findOneByOrFail(TenantEntity, where)).toMatchObject({
    provisioningGeneration: 0,
  });
});

it('tells with the last log lines when a container never becomes healthy', async () => {
  const owner = await world.account();
  const before = world.engine.behaviour;
  world.engine.behaviour = (context) =>
    context.name.endsWith('-runtime') ? neverReady('migrating', 'cannot open the database') : before(context);
  try {
    const probes = {
      ...healthyProbes,
      ready: () => Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'no answer' })),
    };
    const accepted = await world.stacks.create(owner, { template: 'standard' });
    const ended = await run(accepted, { probes });
    expect(ended.state).toBe('failed');
    expect(ended.error).toMatchObject({
      code: 'HEALTH_GATE_FAILED',
      details: { logs: { runtime: ['migrating', 'cannot open the database'] } },
    });
    const view = await world.stacks.get(owner, accepted.stack.slug);
    expect(view).toMatchObject({ status: 'attention', reason: 'no answer' });
  } finally {
    world.engine.behaviour = before;
  }
});

it('tells the log lines also of a stack that answers nothing until its deadline', async () => {
  const { accepted } = await provisioned();
  const { dataSource, platformId } = world.database;
  const facts = await readFacts(
    dataSource.manager,
    { platformId, pool: parsePool('10.128.0.0/14'), ...PLACES },
    accepted.stack.id,
  );
  // As a real probe: its last try ends a little later than the time it was given.
  const probes = {
    ...healthyProbes,
    ready: async (_facts: unknown, { deadlineMs }: { deadlineMs: number }) => {
      await pause(deadlineMs + 200);
      throw new DomainError('HEALTH_GATE_FAILED', { message: 'no answer' });
    },
  };
  const gate = PHASE_HANDLERS.health({
    deps: { probes, secrets: { passwordInDoubt: () => Promise.resolve(null) } },
    engine: world.engine,
    operation: { kind: 'start' },
    facts,
    signal: never,
    deadlineMs: 7_300,
  } as unknown as PhaseContext);
  await expect(gate).rejects.toMatchObject({
    code: 'HEALTH_GATE_FAILED',
    details: { logs: { runtime: expect.any(Array) as unknown } },
  });
});

it.each([
  ['an image is missing', 'createContainer', 'IMAGE_MISSING'],
  ['the engine refuses a create', 'createContainer', 'ENGINE_REFUSED'],
  ['the engine has no network left', 'createNetwork', 'NO_CAPACITY'],
] as const)('fails with a reason when %s, and destroy still removes all', async (_what, method, code) => {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  world.engine.log.failOn({ method, nth: world.engine.log.count(method) + 1, code });
  const ended = await run(accepted);
  expect(ended).toMatchObject({ state: 'failed', error: { code } });
  world.engine.log.reset();
  await run(await world.stacks.request(owner, accepted.stack.slug, 'destroy'));
  expect(mine(accepted.stack.slug)).toEqual([]);
});

it('never touches objects of another platform', async () => {
  const foreign = {
    'aviary.platform': '0190a000-0000-7000-8000-00000000f0f0',
    'aviary.tenant': '0190a000-0000-7000-8000-00000000f0f1',
  };
  const bounds = { deadlineMs: 1_000 };
  const { owner, slug } = await provisioned();
  await world.engine.createVolume({ name: `aviary-ffff-${slug}-data-1`, labels: foreign }, bounds);
  await run(await world.stacks.request(owner, slug, 'destroy'));
  expect(mine(slug)).toEqual([`aviary-ffff-${slug}-data-1`]);
});

it('only one of two agents works on an operation', async () => {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  const { id } = accepted.stack;
  await Promise.all([
    world.runner().run(accepted.operation.id, id, never),
    world.runner().run(accepted.operation.id, id, never),
  ]);
  expect((await world.operations.get(owner, accepted.operation.id)).state).toBe('done');
  const row = await world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: accepted.operation.id });
  expect(row.attempts).toBe(1);
  const started = world.engine.log.calls.filter(
    ({ method, args }) => method === 'startContainer' && JSON.stringify(args).includes(accepted.stack.slug),
  );
  expect(started).toHaveLength(3);
});

it('takes over from a worker that died, once its lease has run out and not before', async () => {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  const { dataSource } = world.database;
  await dataSource.query(
    `update operations set state = 'running', started_at = now(), fencing = 7, lease_owner = 'dead', lease_expires_at = now() + interval '1 second' where id = $1`,
    [accepted.operation.id],
  );
  await world.runner().run(accepted.operation.id, accepted.stack.id, never);
  expect(mine(accepted.stack.slug)).toEqual([]);
  await waitFor(
    async () => {
      const [row] = await dataSource.query<{ over: boolean }[]>(
        'select lease_expires_at < now() as over from operations where id = $1',
        [accepted.operation.id],
      );
      return row?.over ? true : undefined;
    },
    { what: 'the dead worker’s lease running out', deadlineMs: 5_000 },
  );
  const ended = await run(accepted);
  expect(ended).toMatchObject({ state: 'done', fencing: 8 });
});

it('stops at the next engine call once its lease is another’s', async () => {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  const stolen: Engine = new Proxy(world.engine, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (name !== 'createNetwork') {
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return async (...args: Parameters<Engine['createNetwork']>) => {
        await target.createNetwork(...args);
        await world.database.dataSource.query(
          `update operations set fencing = fencing + 1, lease_owner = 'thief', lease_expires_at = now() + interval '1 minute' where id = $1`,
          [accepted.operation.id],
        );
      };
    },
  });
  await world.runner({ engine: stolen }).run(accepted.operation.id, accepted.stack.id, never);
  expect(mine(accepted.stack.slug).filter((name) => /-(postgres|redis|runtime)$/.test(name))).toEqual([]);
  expect((await world.operations.get(owner, accepted.operation.id)).state).toBe('running');
});

describe('what an account may', () => {
  it('see and change: only its own', async () => {
    const { slug } = await provisioned();
    const stranger = await world.account();
    await expect(world.stacks.get(stranger, slug)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(world.stacks.request(stranger, slug, 'destroy')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await world.stacks.list(stranger)).items).toEqual([]);
  });

  it('search: by slug, name and owner, in whatever case it is typed', async () => {
    const { owner, slug } = await provisioned();
    for (const q of [slug.toUpperCase(), owner.username.toUpperCase(), 'USER-']) {
      const { items } = await world.stacks.list(owner, { q });
      expect({ q, found: items.map((stack) => stack.slug) }).toEqual({ q, found: [slug] });
    }
    // A page of no rows would never end.
    const page = await world.stacks.list(owner, { limit: 0 });
    expect(page).toMatchObject({ items: [{ slug }], next: null });
  });

  it('create: as many as the plan says, also when asked for at once', async () => {
    const owner = await world.account('free');
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => world.stacks.create(owner, { template: 'standard' })),
    );
    const made = results.filter(({ status }) => status === 'fulfilled');
    const [{ stacks }] = await world.database.dataSource.query<[{ stacks: number }]>(
      `select stacks from plans where code = 'free'`,
    );
    expect(made).toHaveLength(stacks);
    expect(
      results
        .filter((result) => result.status === 'rejected')
        .every((result) => (result.reason as DomainError).code === 'QUOTA_EXCEEDED'),
    ).toBe(true);
  });
});
