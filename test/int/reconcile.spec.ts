import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import { DomainError, type Accepted } from '#libs/contracts';
import {
  AuditEntryEntity,
  EngineEntity,
  HeartbeatEntity,
  HoldEntity,
  OperationEntity,
  OrphanEntity,
  OutboxMailEntity,
  ReleaseEntity,
  TenantEntity,
} from '#libs/db';
import { LABEL, plainContainer } from '#libs/engine';
import { listAlarms } from '#libs/jobs';
import type { Probes } from '#libs/orchestrator';
import { mailStackTrouble, OutboxService } from '#libs/support';
import { DEATHS_TO_BREAK, FAILURES_TO_BREAK, OrphanService, type PhaseName } from '#libs/tenants';
import { createLogger } from '#libs/telemetry';
import type { Reconciler } from '../../apps/agent/src/reconciler.js';
import { Timers } from '../../apps/agent/src/timers.js';
import { tellFigures } from '../../apps/agent/src/sign-of-life.js';
import { WELL } from '../support/agent-figures.js';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

let world: StackWorld;
const never = new AbortController().signal;
const bounds = { deadlineMs: 5_000 };

beforeAll(async () => {
  world = await stackWorld();
}, 60_000);
afterAll(() => world.close());
afterEach(() => world.engine.log.reset());

interface Stack {
  owner: Awaited<ReturnType<StackWorld['account']>>;
  id: string;
  slug: string;
  /** Name of a service's container. */
  container(service: 'postgres' | 'redis' | 'runtime'): string;
  named(ending: string): string;
}

async function running(): Promise<Stack> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  await run(accepted);
  const { id, slug } = accepted.stack;
  const named = (ending: string): string =>
    Object.values(world.engine.names())
      .flat()
      .find((name) => name.includes(slug) && name.endsWith(ending)) ?? '';
  return { owner, id, slug, named, container: (service) => named(`-${service}`) };
}

async function run(accepted: Accepted): Promise<void> {
  await world.runner().run(accepted.operation.id, accepted.stack.id, never);
}

const rows = ({ database }: StackWorld) => database.dataSource.manager;

const open = (id: string): Promise<OperationEntity | null> =>
  rows(world).findOne(OperationEntity, {
    where: [
      { tenantId: id, state: 'queued' },
      { tenantId: id, state: 'running' },
    ],
  });

/** One look, and the repair it asked for, if it did. */
async function mended(
  reconciler: Reconciler,
  { id }: Stack,
  options: Parameters<StackWorld['runner']>[0] = {},
): Promise<OperationEntity | null> {
  await reconciler.look(id, never);
  const operation = await open(id);
  if (!operation) {
    return null;
  }
  await world.runner(options).run(operation.id, id, never);
  return rows(world).findOneByOrFail(OperationEntity, { id: operation.id });
}

/** What an agent does a few times a second. */
async function step(reconciler: Reconciler): Promise<void> {
  await reconciler.passTurn(never);
  await reconciler.turn(never);
}

const tenant = ({ id }: Stack): Promise<TenantEntity> => rows(world).findOneByOrFail(TenantEntity, { id });
const states = async ({ id }: Stack) =>
  (await world.engine.observe({ platform: world.database.platformId, tenant: id }, bounds)).containers;

/** Texts of the mails to the owner, written by the worker's handler of the jobs that wait. */
async function mailed({ id, owner }: Stack): Promise<string[]> {
  const { dataSource } = world.database;
  const now = (): Date => new Date();
  const outbox = new OutboxService({ database: dataSource, queue: world.queue, now });
  const jobs = await dataSource.query<{ data: { stackId: string; portalUrl: string } }[]>(
    `select data from pgboss.job where name = 'mail.stack' and data ->> 'stackId' = $1`,
    [id],
  );
  for (const { data } of jobs) {
    await mailStackTrouble(dataSource, outbox, data);
  }
  const mails = await rows(world).findBy(OutboxMailEntity, { recipient: `${owner.username}@example.org` });
  return mails.map(({ text }) => text);
}

/** What somebody with the engine's socket, or the host, may do to a stack that runs. */
const DAMAGES: Record<string, (stack: Stack) => unknown> = {
  'a container killed': (stack) => world.engine.kill(stack.container('runtime')),
  'a container stopped': (stack) => world.engine.stopContainer(stack.container('redis'), 1, bounds),
  'a container removed': (stack) =>
    world.engine.removeContainer(stack.container('runtime'), { platform: world.database.platformId }, bounds),
  'a container paused': (stack) => world.engine.pause(stack.container('runtime')),
  'a network disconnected': (stack) =>
    world.engine.disconnectNetwork(stack.container('runtime'), stack.named(stack.slug), bounds),
  'its network removed': (stack) =>
    world.engine.removeNetwork(stack.named(stack.slug), { platform: world.database.platformId }, bounds),
  'its network removed while it was stopped': async (stack) => {
    for (const { name } of await states(stack)) {
      await world.engine.stopContainer(name, 1, bounds);
    }
    await world.engine.removeNetwork(stack.named(stack.slug), { platform: world.database.platformId }, bounds);
  },
  'a network connected at another address': async (stack) => {
    const network = stack.named(stack.slug);
    const [{ subnet } = { subnet: '' }] = (
      await world.engine.observe({ platform: world.database.platformId, tenant: stack.id }, bounds)
    ).networks;
    await world.engine.disconnectNetwork(stack.container('redis'), network, bounds);
    const address = (subnet ?? '').replace(/\.\d+\/\d+$/, (end) => `.${Number(/\d+/.exec(end)?.[0]) + 40}`);
    await world.engine.connectNetwork(stack.container('redis'), { network, address, aliases: [] }, bounds);
  },
  'limits changed': (stack) =>
    world.engine.updateLimits(stack.container('runtime'), { cpus: 0.01, memoryBytes: 1, pids: 1 }, bounds),
  'a restart policy changed': (stack) => world.engine.setRestart(stack.container('postgres'), 'no', bounds),
  'an image exchanged behind the same name': (stack) =>
    world.engine.swapImage(stack.container('redis'), 'sha256:somebodys'),
  'a secret file edited': (stack) => world.engine.editFile(stack.named('runtime-secrets'), 'spec.json', '{}'),
  'a secret file deleted': (stack) => world.engine.editFile(stack.named('postgres-secrets'), 'database-password', null),
  'its route deleted': (stack) => world.folder.remove(`${stack.slug}.yml`),
  'everything gone but its volumes': async (stack) => {
    const owner = { platform: world.database.platformId };
    for (const { name } of await states(stack)) {
      await world.engine.removeContainer(name, owner, bounds);
    }
    await world.engine.removeNetwork(stack.named(stack.slug), owner, bounds);
    await world.folder.remove(`${stack.slug}.yml`);
  },
};

describe('FM-13 what a customer wants becomes true again by itself', () => {
  it.each(Object.keys(DAMAGES))('%s', async (what) => {
    const stack = await running();
    const reconciler = world.reconciler({ times: { filesMs: 0 } });
    expect(await mended(reconciler, stack)).toBeNull();
    const password = world.engine.fileIn(stack.named('postgres-secrets'), 'database-password');
    await DAMAGES[what]?.(stack);
    expect(await mended(reconciler, stack)).toMatchObject({
      kind: 'repair',
      state: 'done',
      error: null,
      requestedBy: 'system:reconciler',
    });
    // It found nothing more to do, and what it made is what was there.
    expect(await mended(reconciler, stack)).toBeNull();
    expect((await states(stack)).map(({ status }) => status)).toEqual(['running', 'running', 'running']);
    expect(world.engine.fileIn(stack.named('postgres-secrets'), 'database-password')).toBe(password);
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('running');
  });

  it('leaves a stopped stack stopped, and stops one that runs though it should not', async () => {
    const stack = await running();
    await run(await world.stacks.request(stack.owner, stack.slug, 'stop'));
    const reconciler = world.reconciler();
    expect(await mended(reconciler, stack)).toBeNull();
    await world.engine.startContainer(stack.container('runtime'), bounds);
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    expect((await states(stack)).map(({ status }) => status)).toEqual(['exited', 'exited', 'exited']);
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('stopped');
  });

  it('FM-13 a container that its engine can never start again is made anew', async () => {
    const stack = await running();
    const idOf = async (): Promise<string | undefined> =>
      (await states(stack)).find(({ name }) => name === stack.container('postgres'))?.id;
    const stuck = await idOf();
    const reconciler = world.reconciler();
    world.engine.kill(stack.container('postgres'));
    world.engine.log.reset();
    // The words of an engine that died while it started this one, at every start from then on.
    world.engine.log.failOn({
      method: 'startContainer',
      nth: 1,
      code: 'ENGINE_REFUSED',
      details: { reason: `task ${'ab'.repeat(32)}: already exists` },
    });
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'failed' });
    expect(await idOf()).toBeUndefined();
    await rows(world).update(OperationEntity, { tenantId: stack.id }, { finishedAt: new Date(Date.now() - 3_600_000) });
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    expect([await idOf()]).not.toContain(stuck);
    expect((await states(stack)).map(({ status }) => status)).toEqual(['running', 'running', 'running']);
  });

  it('FM-13 files that could not be read, or not be mended, are compared again at the next look', async () => {
    const stack = await running();
    const reconciler = world.reconciler();
    world.engine.editFile(stack.named('runtime-secrets'), 'spec.json', '{}');
    world.engine.log.reset();
    world.engine.log.failOn({ method: 'readFiles', nth: 1, code: 'ENGINE_UNREACHABLE' });
    await expect(reconciler.look(stack.id, never)).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    world.engine.log.failOn({ method: 'fillVolumes', nth: 1, code: 'ENGINE_REFUSED' });
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'failed' });
    await rows(world).update(OperationEntity, { tenantId: stack.id }, { finishedAt: new Date(Date.now() - 3_600_000) });
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    // Seen to be right once more, then not for a while.
    expect(await mended(reconciler, stack)).toBeNull();
    world.engine.editFile(stack.named('runtime-secrets'), 'spec.json', '{}');
    expect(await mended(reconciler, stack)).toBeNull();
  });

  it('what somebody undoes while a stack becomes healthy, its own operation mends', async () => {
    const stack = await running();
    const accepted = await world.stacks.request(stack.owner, stack.slug, 'restart');
    const network = stack.named(stack.slug);
    const reachable = async (): Promise<boolean> =>
      (await states(stack)).every(({ networks }) => networks[network] !== undefined);
    let undone = false;
    const probes: Probes = {
      ...healthyProbes,
      ready: async (_facts, { signal }) => {
        if (!undone) {
          undone = true;
          await world.engine.disconnectNetwork(stack.container('runtime'), network, bounds);
        }
        await waitFor(async () => ((await reachable()) ? true : undefined), {
          what: 'the database',
          deadlineMs: 20_000,
          signal,
        });
      },
    };
    await world.runner({ probes }).run(accepted.operation.id, stack.id, never);
    expect(undone).toBe(true);
    expect(await rows(world).findOneByOrFail(OperationEntity, { id: accepted.operation.id })).toMatchObject({
      state: 'done',
      error: null,
    });
    expect(await reachable()).toBe(true);
  }, 60_000);

  it('a stack that its engine starts later and later is restarted at once, and not waited for', async () => {
    const stack = await running();
    const reconciler = world.reconciler();
    const runtime = stack.container('runtime');
    // It ended, and its policy waits before it starts it again.
    world.engine.exit(runtime, 1);
    await world.engine.disconnectNetwork(runtime, stack.named(stack.slug), bounds);
    let asked = 0;
    const probes: Probes = {
      ...healthyProbes,
      ready: async () => {
        asked += 1;
        const now = (await states(stack)).find(({ name }) => name === runtime)?.status;
        if (now !== 'running') {
          throw new DomainError('HEALTH_GATE_FAILED', { message: `it is ${now}` });
        }
      },
    };
    expect(await mended(reconciler, stack, { probes })).toMatchObject({ kind: 'repair', state: 'done' });
    // Once, after the restart.
    expect(asked).toBe(1);
  });

  it('begins a destroy that failed once more, after a while', async () => {
    const stack = await running();
    world.engine.log.failOn({ method: 'removeVolume', nth: 1, code: 'ENGINE_REFUSED' });
    await run(await world.stacks.request(stack.owner, stack.slug, 'destroy'));
    const reconciler = world.reconciler();
    expect(await mended(reconciler, stack)).toBeNull();
    await rows(world).update(OperationEntity, { tenantId: stack.id }, { finishedAt: new Date(Date.now() - 3_600_000) });
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'destroy', state: 'done' });
    expect(stack.named(stack.slug)).toBe('');
  });
});

describe('events', () => {
  it('FM-29 an event is enough for a look, and after a loss of them everything is looked at', async () => {
    const stack = await running();
    const reconciler = world.reconciler({ times: { settleMs: 20 } });
    const control = new AbortController();
    const following = reconciler.follow(control.signal);
    const repair = async (): Promise<OperationEntity> => {
      const found = await waitFor(
        async () => {
          await step(reconciler);
          return (await open(stack.id)) ?? undefined;
        },
        { what: 'a repair', deadlineMs: 10_000 },
      );
      await world.runner().run(found.id, stack.id, never);
      return found;
    };
    try {
      await step(reconciler);
      world.engine.kill(stack.container('runtime'));
      expect(await repair()).toMatchObject({ kind: 'repair' });
      await world.engine.disconnectNetwork(stack.container('redis'), stack.named(stack.slug), bounds);
      expect(await repair()).toMatchObject({ kind: 'repair' });
      world.engine.loseEvents(() => world.engine.kill(stack.container('postgres')));
      expect(await repair()).toMatchObject({ kind: 'repair' });
      expect((await states(stack)).map(({ status }) => status)).toEqual(['running', 'running', 'running']);
    } finally {
      control.abort();
      await following;
    }
  });

  it('FM-25 stacks that do not answer, each for seconds, keep no other waiting for its repair', async () => {
    const silent: Stack[] = [];
    for (let count = 0; count < 9; count += 1) {
      silent.push(await running());
    }
    const stack = await running();
    const probes: Probes = {
      ...healthyProbes,
      // Until its deadline, as a connection to a host that drops packets.
      served: ({ slug }, { signal }) =>
        silent.some((one) => one.slug === slug)
          ? new Promise((_resolve, reject) => {
              const late = setTimeout(() => reject(new DomainError('HEALTH_GATE_FAILED')), 8_000);
              signal.addEventListener('abort', () => {
                clearTimeout(late);
                reject(signal.reason as Error);
              });
            })
          : Promise.resolve(),
    };
    const control = new AbortController();
    const reconciler = world.reconciler({ probes, times: { settleMs: 20, passMs: 3_600_000, patienceMs: 50 } });
    const following = reconciler.follow(control.signal);
    const timers = new Timers(control.signal, createLogger('test', 'silent'));
    timers.every('reconcile', 0.02, () => reconciler.turn(control.signal));
    try {
      silent.forEach(({ id }) => reconciler.suspect(id));
      await waitFor(() => (world.engine.log.calls.some(({ method }) => method === 'observe') ? true : undefined), {
        what: 'looks',
        deadlineMs: 5_000,
      });
      world.engine.kill(stack.container('runtime'));
      const began = performance.now();
      await waitFor(() => open(stack.id).then((found) => found ?? undefined), { what: 'a repair', deadlineMs: 20_000 });
      // Far less than one of them takes, and there are nine.
      expect(performance.now() - began).toBeLessThan(6_000);
    } finally {
      control.abort(new Error('the test is over'));
      await following;
      await timers.ended();
      await reconciler.ended();
    }
    await world.runner().run((await open(stack.id))?.id ?? '', stack.id, never);
  }, 60_000);

  it('FM-29 following them is begun anew where it broke off, and that it did is told once', async () => {
    const stack = await running();
    let streams = 0;
    const engine = Object.assign(Object.create(world.engine) as typeof world.engine, {
      async *events(...args: Parameters<typeof world.engine.events>): ReturnType<typeof world.engine.events> {
        streams += 1;
        if (streams === 1) {
          throw new Error('nobody foresaw this');
        }
        yield* world.engine.events(...args);
      },
    });
    const reconciler = world.reconciler({ engine, times: { settleMs: 20, passMs: 3_600_000 } });
    const control = new AbortController();
    const timers = new Timers(control.signal, createLogger('test', 'silent'));
    const told: boolean[] = [];
    timers.every('events', 0.02, async () => {
      told.push(timers.states()['events'] === true);
      await reconciler.listen(control.signal);
    });
    try {
      await waitFor(() => (told.includes(true) && told.at(-1) === false ? true : undefined), {
        what: 'the failure, told and over',
        deadlineMs: 5_000,
      });
      expect(streams).toBe(2);
      await step(reconciler);
      world.engine.kill(stack.container('runtime'));
      const repair = await waitFor(
        async () => {
          await step(reconciler);
          return (await open(stack.id)) ?? undefined;
        },
        { what: 'a repair', deadlineMs: 10_000 },
      );
      await world.runner().run(repair.id, stack.id, never);
    } finally {
      control.abort();
      await timers.ended();
      await reconciler.ended();
    }
  });

  it('FM-13 a file that somebody edits, of which no event tells, is found within the time between two looks at files', async () => {
    const stack = await running();
    const reconciler = world.reconciler({ times: { settleMs: 20, passMs: 40, filesMs: 100 } });
    const repair = (): Promise<OperationEntity> =>
      waitFor(
        async () => {
          await step(reconciler);
          return (await open(stack.id)) ?? undefined;
        },
        { what: 'a repair', deadlineMs: 10_000, intervalMs: 20, maxIntervalMs: 20 },
      );
    for (let turn = 0; turn < 5; turn += 1) {
      await step(reconciler);
      await pause(50);
    }
    expect(await open(stack.id)).toBeNull();
    world.engine.editFile(stack.named('runtime-secrets'), 'spec.json', '{}');
    const { id } = await repair();
    await world.runner().run(id, stack.id, never);
    expect(world.engine.fileIn(stack.named('runtime-secrets'), 'spec.json')).not.toBe('{}');
  }, 60_000);

  it('a pass looks at all stacks by one look at the engine, and one stack’s trouble keeps no other from its repair', async () => {
    const [first, second] = [await running(), await running()];
    const reconciler = world.reconciler({ times: { settleMs: 60_000 } });
    world.engine.kill(first.container('runtime'));
    world.engine.kill(second.container('runtime'));
    world.engine.log.reset();
    expect(await reconciler.pass(never)).toBeGreaterThanOrEqual(2);
    expect(world.engine.log.calls.map(({ method }) => method)).toEqual(['observe']);
    world.engine.log.failOn({ method: 'observe', nth: 2, code: 'ENGINE_REFUSED' });
    await expect(step(reconciler)).rejects.toThrow('could not be looked at');
    const repairs = (await Promise.all([open(first.id), open(second.id)])).filter(Boolean);
    expect(repairs.map((operation) => operation?.kind)).toContain('repair');
    for (const operation of repairs) {
      await world.runner().run(operation?.id ?? '', operation?.tenantId ?? '', never);
    }
  });
});

it('a volume that vanished is not made anew: the stack says so, a person is told once, and nothing is tried in a circle', async () => {
  const stack = await running();
  const reconciler = world.reconciler();
  await world.engine.removeContainer(stack.container('postgres'), { platform: world.database.platformId }, bounds);
  const data = stack.named('-data-1');
  world.engine.loseVolume(data);
  for (let look = 0; look < 3; look += 1) {
    expect(await mended(reconciler, stack)).toBeNull();
  }
  expect(world.engine.names().volumes).not.toContain(data);
  expect(await tenant(stack)).toMatchObject({ observed: 'failed', reasonCode: 'DATA_MISSING' });
  expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('attention');
  expect(await rows(world).countBy(AuditEntryEntity, { action: 'stack.data_missing', targetId: stack.id })).toBe(1);
  expect(await mailed(stack)).toEqual([expect.stringContaining('with the stack’s data is gone')]);
});

describe('lost data that an operation finds is told once, and no more by the looks after it', () => {
  const audited = ({ id }: Stack): Promise<number> =>
    rows(world).countBy(AuditEntryEntity, { action: 'stack.data_missing', targetId: id });

  it('by the wake of a stack whose volume was lost while it slept', async () => {
    const stack = await running();
    const quiet = { bots: 0, runningBots: 0, openOrders: 0, equity: '0' };
    await rows(world).insert(HeartbeatEntity, { tenantId: stack.id, at: new Date(), ...quiet });
    await run(await world.sleep.hibernate(stack.owner, stack.slug));
    const data = stack.named('-data-1');
    await world.engine.removeContainer(stack.container('postgres'), { platform: world.database.platformId }, bounds);
    world.engine.loseVolume(data);
    const { operation } = await world.sleep.wake(stack.owner, stack.slug);
    await world.runner().run(operation.id, stack.id, never);
    expect(await rows(world).findOneByOrFail(OperationEntity, { id: operation.id })).toMatchObject({
      state: 'failed',
      error: { code: 'DATA_MISSING', details: { volume: data } },
    });
    expect([(await tenant(stack)).reasonCode, await audited(stack)]).toEqual(['DATA_MISSING', 1]);
    const reconciler = world.reconciler();
    for (let look = 0; look < 2; look += 1) {
      expect(await mended(reconciler, stack)).toBeNull();
    }
    expect([(await tenant(stack)).reasonCode, await audited(stack)]).toEqual(['DATA_MISSING', 1]);
    expect(await mailed(stack)).toEqual([expect.stringContaining(`The volume ${data} with the stack’s data is gone`)]);
  });

  it('by a repair whose stack has the database of another', async () => {
    const stack = await running();
    const foreign = () =>
      Promise.reject(new DomainError('DATA_MISSING', { message: 'The database is of another stack.' }));
    const probes: Probes = { ...healthyProbes, ready: foreign, served: foreign };
    const reconciler = world.reconciler({ probes });
    world.engine.kill(stack.container('runtime'));
    expect(await mended(reconciler, stack, { probes })).toMatchObject({ kind: 'repair', state: 'failed' });
    expect([(await tenant(stack)).reasonCode, await audited(stack)]).toEqual(['DATA_MISSING', 1]);
    expect(await mended(reconciler, stack, { probes })).toBeNull();
    expect(await audited(stack)).toBe(1);
    expect(await mailed(stack)).toEqual([expect.stringContaining('The database is of another stack.')]);
  });
});

describe('FM-25 restarts with back-off, a budget and a breaker', () => {
  it('FM-30 a container that runs out of memory again and again stops the stack, says why, and waits for a person', async () => {
    const stack = await running();
    const reconciler = world.reconciler();
    const control = new AbortController();
    const following = reconciler.follow(control.signal);
    await step(reconciler);
    const runtime = stack.container('runtime');
    for (let death = 0; death < DEATHS_TO_BREAK; death += 1) {
      expect(await open(stack.id)).toBeNull();
      world.engine.crash(runtime, 137, { oomKilled: true });
    }
    await waitFor(
      async () => {
        await step(reconciler);
        return (await open(stack.id)) ?? undefined;
      },
      { what: 'the breaker', deadlineMs: 10_000 },
    );
    control.abort();
    await following;
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    expect(await states(stack)).toEqual(
      expect.arrayContaining([expect.objectContaining({ name: runtime, status: 'exited', restart: 'no' })]),
    );
    const view = await world.stacks.get(stack.owner, stack.slug);
    expect(view).toMatchObject({ status: 'attention', holds: ['breaker'], reasonCode: 'OUT_OF_MEMORY' });
    expect(view.reason).toMatch(/^runtime ran out of memory 5 times in ten minutes, so the stack was stopped\./);
    // Not a second time, and what is seen later does not cover up why.
    expect(await mended(reconciler, stack)).toBeNull();
    expect((await tenant(stack)).reasonCode).toBe('OUT_OF_MEMORY');
    expect(await rows(world).countBy(AuditEntryEntity, { action: 'stack.broken', targetId: stack.id })).toBe(1);
    expect(await mailed(stack)).toEqual([expect.stringContaining('runtime ran out of memory 5 times')]);

    await run(await world.stacks.request(stack.owner, stack.slug, 'start'));
    expect(await rows(world).countBy(HoldEntity, { tenantId: stack.id })).toBe(0);
    expect((await states(stack)).map(({ status, restart }) => [status, restart])).toEqual(
      Array.from({ length: 3 }, () => ['running', 'unless-stopped']),
    );
    expect(await mended(reconciler, stack)).toBeNull();
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('running');
  });

  it('repairs that fail wait longer each time and end with the breaker', async () => {
    const stack = await running();
    const dead: Probes = {
      ...healthyProbes,
      ready: () => Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'it says nothing' })),
    };
    const reconciler = world.reconciler();
    for (let failure = 1; failure <= FAILURES_TO_BREAK; failure += 1) {
      world.engine.kill(stack.container('runtime'));
      expect(await mended(reconciler, stack, { probes: dead })).toMatchObject({ kind: 'repair', state: 'failed' });
      world.engine.kill(stack.container('runtime'));
      if (failure < FAILURES_TO_BREAK) {
        // Not yet.
        expect(await mended(reconciler, stack)).toBeNull();
      }
      await rows(world).update(
        OperationEntity,
        { tenantId: stack.id, state: 'failed' },
        { finishedAt: new Date(Date.now() - 3_600_000) },
      );
    }
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    expect(await world.stacks.get(stack.owner, stack.slug)).toMatchObject({
      status: 'attention',
      holds: ['breaker'],
      reasonCode: 'REPAIRS_FAILED',
      reason: expect.stringContaining('it says nothing') as unknown,
    });
  });

  it('restarts a stack that runs and does not answer, but not for what only the proxy does not serve', async () => {
    const stack = await running();
    let alive = false;
    const refuse = (): Promise<void> => Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'silence' }));
    const times = { againMs: 0 };
    const unserved = world.reconciler({ probes: { ...healthyProbes, served: refuse }, times });
    for (let look = 0; look < 5; look += 1) {
      expect(await mended(unserved, stack)).toBeNull();
    }
    const silent: Probes = {
      ...healthyProbes,
      ready: () => (alive ? Promise.resolve() : refuse()),
      served: () => (alive ? Promise.resolve() : refuse()),
    };
    const hasty = world.reconciler({ probes: silent });
    for (let look = 0; look < 5; look += 1) {
      // All within one moment, as events of a container that dies bring them about.
      expect(await mended(hasty, stack)).toBeNull();
    }
    const reconciler = world.reconciler({ probes: silent, times });
    await reconciler.look(stack.id, never);
    await reconciler.look(stack.id, never);
    expect(await open(stack.id)).toBeNull();
    await reconciler.look(stack.id, never);
    const operation = await open(stack.id);
    expect(operation).toMatchObject({ kind: 'repair' });
    const before = (await states(stack)).find(({ name }) => name === stack.container('runtime'))?.startedAt;
    let asked = 0;
    const comesBack: Probes = {
      ...healthyProbes,
      ready: () => {
        asked += 1;
        alive = asked > 1;
        return alive ? Promise.resolve() : refuse();
      },
    };
    const calls = world.engine.log.calls.length;
    await world.runner({ probes: comesBack }).run(operation?.id ?? '', stack.id, never);
    expect(await rows(world).findOneByOrFail(OperationEntity, { id: operation?.id ?? '' })).toMatchObject({
      state: 'done',
    });
    // What hangs is not waited for as long as what was asked to end.
    const stops = world.engine.log.calls.slice(calls).filter(({ method }) => method === 'stopContainer');
    expect(stops.map(({ args }) => args[1])).toEqual([20, 20, 20]);
    const after = (await states(stack)).find(({ name }) => name === stack.container('runtime'));
    expect(after).toMatchObject({ status: 'running' });
    expect(after?.startedAt).not.toBe(before);
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('running');
  });
});

describe('FM-13 what nobody would see', () => {
  it('an order cancelled before it began keeps no repair away', async () => {
    const stack = await running();
    const reconciler = world.reconciler();
    const restart = await world.stacks.request(stack.owner, stack.slug, 'restart');
    await world.operations.cancel(stack.owner, restart.operation.id);
    world.engine.kill(stack.container('runtime'));
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
  });

  /** As if it had been ended in that phase. */
  async function cancelledIn(phase: PhaseName, { operation: { id } }: Accepted): Promise<void> {
    const at = new Date();
    await rows(world).query(
      `update operation_steps set state = 'skipped', started_at = $3 where operation_id = $1
          and seq <= (select seq from operation_steps where operation_id = $1 and phase = $2)`,
      [id, phase, at],
    );
    await rows(world).update(OperationEntity, { id }, { state: 'cancelled', startedAt: at, finishedAt: at });
  }

  it('an order cancelled while its stack went on beside it keeps no repair away, one cancelled half-way does', async () => {
    const stack = await running();
    const reconciler = world.reconciler();
    const operator = await world.operator();
    const { releaseId } = await tenant(stack);
    const first = await rows(world).findOneByOrFail(ReleaseEntity, { id: releaseId });
    const release = 'standard@9.0.0+00000009';
    const next = { id: release, version: '9.0.0', state: 'candidate' as const };
    await rows(world).insert(ReleaseEntity, Object.assign(new ReleaseEntity(), first, next) as object);
    const upgrade = (): Promise<Accepted> => world.upgrades.upgrade(operator, stack.slug, { release });
    await cancelledIn('safeguard', await upgrade());
    world.engine.kill(stack.container('runtime'));
    await world.checker.look(stack.id, never);
    expect((await world.stacks.get(stack.owner, stack.slug)).next).toMatchObject({ kind: 'repair' });
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    await cancelledIn('unpublish', await upgrade());
    world.engine.kill(stack.container('runtime'));
    await world.checker.look(stack.id, never);
    expect((await world.stacks.get(stack.owner, stack.slug)).next).toMatchObject({ kind: 'person' });
    expect(await mended(reconciler, stack)).toBeNull();
  });

  it('a stack that is to rest is stopped again and again, says that it runs, and is an alarm until it stops', async () => {
    const stack = await running();
    const reconciler = world.reconciler();
    const alarms = world.engineAlarms(reconciler);
    const open = async (): Promise<unknown[]> =>
      (await listAlarms(world.database.dataSource, new Date()))
        .filter(({ endedAt, code }) => endedAt === null && code === 'STACK_STILL_RUNNING')
        .map(({ severity, params }) => [severity, params['stack']]);
    const operator = await world.operator();
    await run(await world.holds.suspend(operator, stack.slug, 'who knows'));
    for (let failure = 0; failure <= FAILURES_TO_BREAK; failure += 1) {
      await world.engine.startContainer(stack.container('runtime'), bounds);
      world.engine.log.reset();
      world.engine.log.failOn({ method: 'stopContainer', nth: 1, code: 'ENGINE_REFUSED' });
      const repair = await mended(reconciler, stack);
      expect({ failure, kind: repair?.kind, state: repair?.state }).toEqual({
        failure,
        kind: 'repair',
        state: 'failed',
      });
      world.engine.log.reset();
      await rows(world).update(
        OperationEntity,
        { tenantId: stack.id, state: 'failed' },
        { finishedAt: new Date(Date.now() - 3_600_000) },
      );
    }
    await world.checker.look(stack.id, never);
    await alarms.turn();
    expect(await open()).toEqual([['critical', stack.slug]]);
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('attention');
    expect(await mended(reconciler, stack)).toMatchObject({ kind: 'repair', state: 'done' });
    await world.checker.look(stack.id, never);
    await alarms.turn();
    expect(await open()).toEqual([]);
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('suspended');
  });

  it('a look at the whole engine that fails stays failed until one succeeds, whatever else goes well', async () => {
    const reconciler = world.reconciler({ times: { settleMs: 0, againMs: 200 } });
    const before = reconciler.passedAt;
    const stop = new AbortController();
    const timers = new Timers(stop.signal, createLogger('test', 'silent'));
    world.engine.log.failOn({ method: 'observe', nth: 1, code: 'ENGINE_REFUSED' });
    let turns = 0;
    timers.every('pass', 0.01, () => {
      turns += 1;
      return reconciler.passTurn(stop.signal);
    });
    await waitFor(() => turns > 5 || undefined, { what: 'turns with nothing to do', deadlineMs: 5_000 });
    expect(timers.states()).toEqual({ pass: true });
    expect(reconciler.passedAt).toBe(before);
    await waitFor(() => (timers.states()['pass'] === false ? true : undefined), { what: 'a pass', deadlineMs: 5_000 });
    expect(reconciler.passedAt.getTime()).toBeGreaterThan(before.getTime());
    stop.abort();
    await timers.ended();
  });
});

it('a repair gives way to whatever a person asks for, and nobody is told that the stack is busy', async () => {
  const stack = await running();
  const reconciler = world.reconciler();
  for (const kind of ['stop', 'start', 'restart', 'destroy'] as const) {
    await rows(world).query(`delete from operations where tenant_id = $1 and kind = 'repair'`, [stack.id]);
    await world.engine.setRestart(stack.container('redis'), 'no', bounds);
    await reconciler.look(stack.id, never);
    const repair = await open(stack.id);
    expect({ kind, repair: repair?.kind }).toEqual({ kind, repair: 'repair' });
    const accepted = await world.stacks.request(stack.owner, stack.slug, kind);
    expect(await rows(world).findOneByOrFail(OperationEntity, { id: repair?.id ?? '' })).toMatchObject({
      state: 'cancelled',
      error: { code: 'OPERATION_CANCELLED' },
    });
    await run(accepted);
    expect(await open(stack.id)).toBeNull();
  }
  expect(stack.named(stack.slug)).toBe('');
});

it('FM-14 a courier that a crash left of a stack that is gone, which never ran and holds nothing, goes at once', async () => {
  const stack = await running();
  const platform = world.database.platformId;
  const gone = '0190a000-0000-7000-8000-00000000beef';
  const [made] = await states(stack);
  const left = (name: string, tenant: string, role: string): Promise<void> => {
    const labels = { [LABEL.platform]: platform, [LABEL.tenant]: tenant, [LABEL.role]: role };
    return world.engine.createContainer(plainContainer(name, labels, { image: made?.imageId ?? '' }), bounds);
  };
  await left('gone-courier', gone, 'courier');
  await left('gone-runtime', gone, 'service');
  await left('here-courier', stack.id, 'courier');
  await world.reconciler().pass(never);
  const { containers } = world.engine.names();
  expect(containers).not.toContain('gone-courier');
  expect(containers).toEqual(expect.arrayContaining(['gone-runtime', 'here-courier']));
  expect(await rows(world).countBy(OrphanEntity, { name: 'gone-courier' })).toBe(0);
  for (const name of ['gone-runtime', 'here-courier']) {
    await world.engine.removeContainer(name, { platform }, bounds);
  }
  await world.reconciler().pass(never);
});

it('FM-14 FM-15 what belongs to no stack is listed first, removed after its grace, and never when its labels do not prove it ours or a stack is merely stopped', async () => {
  const stack = await running();
  const resting = await running();
  await run(await world.stacks.request(resting.owner, resting.slug, 'stop'));
  const ofResting = (): string[] =>
    Object.values(world.engine.names())
      .flat()
      .filter((name) => name.includes(resting.slug));
  const kept = ofResting();
  expect(kept).toHaveLength(9);
  const gone = '0190a000-0000-7000-8000-00000000dead';
  const platform = world.database.platformId;
  const labels = (tenantId: string): Record<string, string> => ({
    [LABEL.platform]: platform,
    [LABEL.tenant]: tenantId,
  });
  await world.engine.createVolume({ name: 'left-over', labels: labels(gone) }, bounds);
  await world.engine.createVolume({ name: 'old-epoch', labels: labels(stack.id) }, bounds);
  await world.engine.createVolume({ name: 'portal-own', labels: { [LABEL.platform]: platform } }, bounds);
  await world.engine.createVolume(
    { name: 'foreign', labels: { [LABEL.platform]: 'another', [LABEL.tenant]: gone } },
    bounds,
  );
  const reconciler = world.reconciler();
  await reconciler.pass(never);
  const listed = async (): Promise<unknown> =>
    (await rows(world).find(OrphanEntity, { order: { name: 'ASC' } })).map(({ kind, name, why }) => [kind, name, why]);
  const orphans = new OrphanService(world.database.dataSource);
  expect((await orphans.list({ ...stack.owner, kind: 'operator' })).items).toMatchObject([
    { name: 'left-over', engine: 'local', stackId: gone, why: 'no_stack', removeAt: expect.any(String) },
    { name: 'old-epoch', stackId: stack.id, why: 'not_wanted', removeAt: null },
  ]);
  const dueIn = async (): Promise<(number | null)[]> =>
    (await orphans.list({ ...stack.owner, kind: 'operator' })).items.map(({ firstSeenAt, removeAt }) =>
      removeAt === null ? null : (Date.parse(removeAt) - Date.parse(firstSeenAt)) / 3_600_000,
    );
  expect(await dueIn()).toEqual([168, null]);
  // As long as its operator lets none be removed, it says so.
  await rows(world).query(`update orphans set first_seen_at = now() - interval '169 hours'`);
  await world.reconciler({ graceHours: 0 }).pass(never);
  expect(await dueIn()).toEqual([null, null]);
  expect(world.engine.names().volumes).toContain('left-over');
  await expect(orphans.list(stack.owner)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  expect(await listed()).toEqual([
    ['volume', 'left-over', 'no_stack'],
    ['volume', 'old-epoch', 'not_wanted'],
  ]);
  const all = ['foreign', 'left-over', 'old-epoch', 'portal-own'];
  expect(world.engine.names().volumes).toEqual(expect.arrayContaining(all));
  await rows(world).query(`update orphans set first_seen_at = now() - interval '169 hours'`);
  // One that cannot go keeps neither the others nor the pass from their end.
  world.engine.log.failOn({ method: 'removeVolume', nth: 1, code: 'ENGINE_REFUSED' });
  await world.engine.createVolume({ name: 'left-too', labels: labels(gone) }, bounds);
  expect(await reconciler.pass(never)).toBeGreaterThanOrEqual(1);
  expect(world.engine.names().volumes).toEqual(expect.arrayContaining(['left-over', 'left-too']));
  await reconciler.pass(never);
  expect(await listed()).toEqual([
    ['volume', 'left-too', 'no_stack'],
    ['volume', 'old-epoch', 'not_wanted'],
  ]);
  await world.engine.removeVolume('left-too', { platform }, bounds);
  expect(world.engine.names().volumes).not.toContain('left-over');
  expect(world.engine.names().volumes).toEqual(expect.arrayContaining(['foreign', 'old-epoch', 'portal-own']));
  expect((await states(stack)).map(({ status }) => status)).toEqual(['running', 'running', 'running']);
  // Nothing of it ran meanwhile, and all of it was in use.
  expect((await states(resting)).map(({ status }) => status)).toEqual(['exited', 'exited', 'exited']);
  expect(ofResting()).toEqual(kept);
  await run(await world.stacks.request(resting.owner, resting.slug, 'start'));
  expect((await states(resting)).map(({ status }) => status)).toEqual(['running', 'running', 'running']);
  // What is used again, or gone, is no orphan any more.
  await world.engine.removeVolume('old-epoch', { platform }, bounds);
  await reconciler.pass(never);
  expect(await listed()).toEqual([]);
});

it('FM-24 stacks are looked at every four to five minutes, not all at once, and without a process in any of them', async () => {
  const many = await Promise.all(Array.from({ length: 12 }, running));
  const ids = many.map(({ id }) => id);
  const looked = async (ageSeconds: number): Promise<number> => {
    await world.database.dataSource.query(
      `update tenants set checked_at = now() - case when id = any($1) then make_interval(secs => $2) else interval '0' end`,
      [ids, ageSeconds],
    );
    world.engine.log.reset();
    await world.checker.turn(never);
    return world.engine.log.count('observe');
  };
  expect(await looked(239)).toBe(0);
  const half = await looked(270);
  expect([half > 0, half < many.length]).toEqual([true, true]);
  expect(await looked(301)).toBe(many.length);
  expect(new Set(world.engine.log.calls.map(({ method }) => method))).toEqual(new Set(['observe']));
}, 60_000);

it('tells on the engine’s row when all of it was last looked at, over how many stacks, and its lag', async () => {
  const stack = await running();
  const reconciler = world.reconciler();
  const { dataSource } = world.database;
  const tell = async (): Promise<EngineEntity['figures']> => {
    const { lastPass: pass, passedAt } = reconciler;
    const said = { ...WELL, pass, passedAt, budget: () => Promise.resolve(null) };
    await tellFigures({ config: { ENGINE_ID: 'local' }, dataSource, now: () => new Date() }, said);
    return (await rows(world).findOneByOrFail(EngineEntity, { id: 'local' })).figures;
  };
  expect(await tell()).toMatchObject({ pass: null, routeLagMs: 340, routes: null });
  const compared = await reconciler.pass(never);
  await dataSource.query('update tenants set checked_at = now()');
  const after = await tell();
  expect(after?.pass).toEqual({
    at: reconciler.passedAt.toISOString(),
    seconds: expect.any(Number) as number,
    stacks: compared,
  });
  expect(after?.reconcileLagSeconds).toBeLessThan(600);
  await rows(world).update(TenantEntity, { id: stack.id }, { checkedAt: new Date(Date.now() - 3_600_000) });
  expect((await tell())?.reconcileLagSeconds).toBeGreaterThanOrEqual(3_600);
});
