import { randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import { OPERATION_KINDS, type Accepted, type OperationKind } from '#libs/contracts';
import { newId, OperationEntity } from '#libs/db';
import { createQueue } from '#libs/jobs';
import { createLogger } from '#libs/telemetry';
import { expireOperations, EXPIRE_AFTER_MS, isShared, operationDeadlineMs, startRepair } from '#libs/tenants';
import type { Engine } from '#libs/engine';
import { OperationLane } from '../../apps/agent/src/operation-lane.js';
import { OperationSweeper } from '../../apps/agent/src/operation-sweeper.js';
import { SCHEDULES } from '../../apps/worker/src/schedules.js';
import { workerHandlers } from '../../apps/worker/src/handlers.js';
import { ENGINE_ID, healthyProbes, IMAGES, stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
const logger = createLogger('test', 'silent');
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());
afterEach(() => world.engine.log.reset());

const expiring = () => ({ dataSource: world.database.dataSource, queue: world.queue });

type Owner = Awaited<ReturnType<StackWorld['account']>>;

async function run(accepted: Accepted): Promise<OperationEntity> {
  await world.runner().run(accepted.operation.id, accepted.stack.id, never);
  return operation(accepted.operation.id);
}
const operation = (id: string): Promise<OperationEntity> =>
  world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id });

async function running(): Promise<{ owner: Owner; slug: string; id: string }> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done' });
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

/** Rows that wait, the oldest first, each of a stack of its own: of one stack only one is open. */
async function insertWaiting(like: string, kinds: readonly OperationKind[]): Promise<string[]> {
  const { manager } = world.database.dataSource;
  const made = await manager.findOneByOrFail(OperationEntity, { tenantId: like });
  const rows = kinds.map((kind, at) =>
    Object.assign({}, made, {
      id: newId(),
      tenantId: newId(),
      kind,
      exclusive: !isShared(kind),
      state: 'queued' as const,
      input: null,
      createdAt: new Date(Date.now() - 600_000 + at * 1_000),
      startedAt: null,
      finishedAt: null,
      leaseOwner: null,
      leaseExpiresAt: null,
      error: null,
    }),
  );
  await manager.insert(OperationEntity, rows);
  return rows.map(({ id }) => id);
}

it('slow operations of some delay nobody else, however few jobs are taken at once', async () => {
  const slow = await Promise.all(Array.from({ length: 4 }, () => running()));
  const quick = await running();
  const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
  const engine = new Proxy<Engine>(world.engine, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (name !== 'stopContainer') {
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return async (...args: Parameters<Engine['stopContainer']>) => {
        if (slow.some(({ slug }) => args[0].includes(slug))) {
          await goOn;
        }
        await target.stopContainer(...args);
      };
    },
  });
  const stopping = new AbortController();
  const { dataSource, url } = world.database;
  const lane = new OperationLane({ dataSource, runner: world.runner({ engine }), logger, stopping: stopping.signal });
  const queue = createQueue({ url, applicationName: 'test-agent', logger });
  await queue.start();
  // Two places in the lane, and twice as many that take long.
  await queue.work(
    { 'engine.operation': ({ operationId }) => lane.take(operationId) },
    { engineId: ENGINE_ID, concurrency: 2 },
  );
  try {
    const asked: Accepted[] = [];
    for (const { owner, slug } of slow) {
      asked.push(await world.stacks.request(owner, slug, 'stop'));
    }
    await waitFor(
      async () => {
        const rows = await Promise.all(asked.map(({ operation: { id } }) => operation(id)));
        return rows.every(({ state }) => state === 'running') || undefined;
      },
      { what: 'the slow ones being under way', deadlineMs: 15_000 },
    );
    const mine = await world.stacks.request(quick.owner, quick.slug, 'stop');
    await waitFor(async () => ((await operation(mine.operation.id)).state === 'done' ? true : undefined), {
      what: 'the quick one, beside them',
      deadlineMs: 15_000,
    });
    expect((await Promise.all(asked.map(({ operation: { id } }) => operation(id)))).map(({ state }) => state)).toEqual(
      slow.map(() => 'running'),
    );
    letGo();
    await lane.ended();
    expect((await Promise.all(asked.map(({ operation: { id } }) => operation(id)))).map(({ state }) => state)).toEqual(
      slow.map(() => 'done'),
    );
  } finally {
    letGo();
    stopping.abort(new Error('the test is over'));
    await queue.stop();
    await lane.ended();
  }
});

it('FM-10 a full lane takes each operation once, is given no job again, and keeps no person’s order behind repairs', async () => {
  const { dataSource } = world.database;
  const rows = await Promise.all(
    Array.from({ length: 20 }, async (_unused, at) => {
      const { id, owner, slug } = await running();
      return { id, owner, slug, repair: at < 12 };
    }),
  );
  const begun: string[] = [];
  const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
  const runner = {
    isLive: () => false,
    poke: () => undefined,
    run: async (operationId: string) => {
      begun.push(operationId);
      await goOn;
    },
  };
  const stopping = new AbortController();
  const lane = new OperationLane({ dataSource, runner, logger, stopping: stopping.signal });
  const sweeper = new OperationSweeper({ dataSource, queue: world.queue, lane, engineId: ENGINE_ID, logger });
  const repairs: string[] = [];
  for (const { id } of rows.filter(({ repair }) => repair)) {
    repairs.push((await startRepair({ dataSource, queue: world.queue }, id, new Date())) ?? '');
  }
  const stops: string[] = [];
  for (const { owner, slug } of rows.filter(({ repair }) => !repair)) {
    stops.push((await world.stacks.request(owner, slug, 'stop')).operation.id);
  }
  try {
    for (const id of [...repairs, ...stops, ...repairs]) {
      await lane.take(id);
    }
    await waitFor(() => (begun.length >= 16 ? true : undefined), { what: 'all that may begin', deadlineMs: 5_000 });
    expect(begun.filter((id) => stops.includes(id))).toEqual(stops);
    expect(begun.filter((id) => repairs.includes(id))).toEqual(repairs.slice(0, 8));
    await dataSource.query(`update operations set created_at = now() - interval '1 minute' where id = any($1)`, [
      [...repairs, ...stops],
    ]);
    const { length } = begun;
    expect(await sweeper.turn()).toBe(0);
    letGo();
    await lane.ended();
    expect([length, begun.toSorted()]).toEqual([16, [...repairs, ...stops].toSorted()]);
  } finally {
    letGo();
    await dataSource.query(`update operations set state = 'cancelled', finished_at = now() where state = 'queued'`);
  }
});

it('FM-10 with seventeen of every slow kind stuck, or waiting behind those, a stop and a start are done', async () => {
  const { dataSource } = world.database;
  const { id: tenantId, owner, slug } = await running();
  const slow = OPERATION_KINDS.filter((kind) => operationDeadlineMs(kind) > 600_000);
  expect(slow).toEqual(expect.arrayContaining(['repair', 'backup', 'prune', 'restore', 'clone', 'upgrade']));
  const kinds = slow.flatMap((kind) => Array.from({ length: 17 }, () => kind));
  const stuck = await insertWaiting(tenantId, kinds);
  const begun: (OperationKind | undefined)[] = [];
  const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
  const real = world.runner();
  const runner: ConstructorParameters<typeof OperationLane>[0]['runner'] = {
    isLive: (id) => real.isLive(id),
    poke: (id) => real.poke(id),
    run: (id, ...rest) => {
      if (!stuck.includes(id)) {
        return real.run(id, ...rest);
      }
      begun.push(kinds[stuck.indexOf(id)]);
      return goOn;
    },
  };
  const lane = new OperationLane({ dataSource, runner, logger, stopping: never });
  try {
    for (const id of stuck) {
      await lane.take(id);
    }
    for (const kind of ['stop', 'start'] as const) {
      const asked = await world.stacks.request(owner, slug, kind);
      await lane.take(asked.operation.id);
      await waitFor(async () => ((await operation(asked.operation.id)).state === 'done' ? true : undefined), {
        what: `the ${kind} beside them`,
        deadlineMs: 15_000,
      });
    }
    const times = (kind: OperationKind): number => begun.filter((one) => one === kind).length;
    // As many as have a place; what shares places with another kind waits behind it.
    expect(Object.fromEntries(slow.map((kind) => [kind, times(kind)]))).toEqual({
      repair: 8,
      backup: 2,
      prune: 0,
      restore: 2,
      clone: 0,
      upgrade: 8,
    });
    expect(lane.held).toEqual(expect.arrayContaining(stuck));
  } finally {
    letGo();
    await lane.ended();
    await dataSource.query(`update operations set state = 'cancelled', finished_at = now() where state = 'queued'`);
  }
});

it('FM-10 what lost its job gets one again, however many older ones wait in the lane', async () => {
  const { dataSource } = world.database;
  const { id: tenantId } = await running();
  const waiting = await insertWaiting(
    tenantId,
    Array.from({ length: 61 }, () => 'restart' as const),
  );
  const { promise: goOn, resolve: letGo } = Promise.withResolvers<void>();
  const runner = { isLive: () => false, poke: () => undefined, run: () => goOn };
  const lane = new OperationLane({ dataSource, runner, logger, stopping: never });
  const sweeper = new OperationSweeper({ dataSource, queue: world.queue, lane, engineId: ENGINE_ID, logger });
  try {
    for (const id of waiting.slice(0, -1)) {
      await lane.take(id);
    }
    expect(await sweeper.turn()).toBe(1);
    const jobs: unknown[] = await dataSource.query(
      `select data ->> 'operationId' as id from pgboss.job where name like 'engine.operation%' and data ->> 'operationId' = any($1)`,
      [waiting],
    );
    expect(jobs).toEqual([{ id: waiting.at(-1) }]);
  } finally {
    letGo();
    await lane.ended();
    await dataSource.query(`update operations set state = 'cancelled', finished_at = now() where state = 'queued'`);
  }
});

describe('FM-10 nothing is under way for ever', () => {
  const overdue = (id: string, ms: number): Promise<unknown> =>
    world.database.dataSource.query(
      `update operations set deadline_at = now() - make_interval(secs => $2) where id = $1`,
      [id, ms / 1_000],
    );

  it('what no agent takes up is ended by the worker, says why, and may be asked for again', async () => {
    const { owner, slug } = await running();
    const asked = await world.stacks.request(owner, slug, 'restart');
    await overdue(asked.operation.id, EXPIRE_AFTER_MS - 5_000);
    expect(await expireOperations(expiring(), new Date())).toEqual([]);
    await overdue(asked.operation.id, EXPIRE_AFTER_MS + 5_000);
    // As the worker does it, each minute.
    expect(SCHEDULES.find(({ job }) => job === 'operations.expire')?.cron).toBe('* * * * *');
    const entry = workerHandlers({
      database: world.database.dataSource,
      delivery: undefined as never,
      outbox: undefined as never,
      queue: undefined as never,
      logger,
      now: () => new Date(),
      portalUrl: 'https://aviary.localhost',
      zone: 'UTC',
      portalBackup: { hour: 4, overdueHours: 28 },
    }).find(({ name }) => name === 'operations.expire');
    await entry?.handle({} as never, { signal: never, attempt: 1, last: true });
    const view = await world.operations.get(owner, asked.operation.id);
    expect(view).toMatchObject({
      state: 'failed',
      error: { code: 'DEADLINE_EXCEEDED', details: { why: 'nobody_began', kind: 'restart' } },
    });
    expect(view.steps.every(({ state }) => state === 'skipped')).toBe(true);
    expect(await run(await world.stacks.request(owner, slug, 'restart'))).toMatchObject({ state: 'done' });
  });

  it('what waits its turn behind others of its kind is not ended, and has its whole time once it begins', async () => {
    const { dataSource } = world.database;
    const at = new Date(Date.now() + 13 * 3_600_000);
    const first = await running();
    const second = await running();
    const waiting = (await world.stacks.request(second.owner, second.slug, 'restart')).operation.id;
    const busy = (await world.stacks.request(first.owner, first.slug, 'stop')).operation.id;
    // An agent that lives then, and has one of them under way.
    await dataSource.query(
      `update operations set state = 'running', started_at = $2, deadline_at = $2, lease_expires_at = $3 where id = $1`,
      [busy, at, new Date(at.getTime() + 60_000)],
    );
    const alive = (until: Date): Promise<unknown> =>
      dataSource.query(
        `insert into engine_leases (engine_id, owner, fencing, taken_at, expires_at) values ($1, 'a', 1, now(), $2)
         on conflict (engine_id) do update set expires_at = excluded.expires_at`,
        [ENGINE_ID, until],
      );
    await alive(new Date(at.getTime() + 60_000));
    expect(await expireOperations(expiring(), at)).toEqual([]);
    const before = await operation(waiting);
    await dataSource.query(
      `update operations set created_at = created_at - interval '13 h', deadline_at = deadline_at - interval '13 h' where id = $1`,
      [waiting],
    );
    expect(await world.runner().run(waiting, second.id, never)).toBeUndefined();
    const { state, deadlineAt } = await operation(waiting);
    expect(state).toBe('done');
    expect(deadlineAt.getTime()).toBeGreaterThanOrEqual(before.deadlineAt.getTime());

    const unbegun = (await world.stacks.request(second.owner, second.slug, 'restart')).operation.id;
    await alive(new Date(0));
    expect(await expireOperations(expiring(), at)).toMatchObject([{ id: unbegun }]);
    await dataSource.query(`update operations set state = 'cancelled', finished_at = now() where id = $1`, [busy]);
    await dataSource.query('delete from engine_leases');
  });

  it('what hangs in an agent that still renews its lease is ended, and the agent can do nothing more', async () => {
    const { owner, slug, id } = await running();
    const asked = await world.stacks.request(owner, slug, 'restart');
    const { promise: hangs, resolve: letGo } = Promise.withResolvers<void>();
    const { promise: held, resolve: inReady } = Promise.withResolvers<void>();
    // Deaf to its signal, as nothing of ours should be and something will.
    const probes = { ...healthyProbes, ready: () => (inReady(), hangs) };
    const agent = world.runner({ probes, owner: randomUUID(), leaseSeconds: 2 });
    const working = agent.run(asked.operation.id, id, never);
    await held;
    await overdue(asked.operation.id, EXPIRE_AFTER_MS + 5_000);
    expect(await expireOperations(expiring(), new Date())).toMatchObject([{ id: asked.operation.id, slug }]);
    expect(await operation(asked.operation.id)).toMatchObject({
      state: 'failed',
      error: { details: { why: 'nobody_ended' } },
    });
    // The way is free for the next one, by another agent, while the first still hangs.
    expect(await run(await world.stacks.request(owner, slug, 'restart'))).toMatchObject({ state: 'done' });
    letGo();
    await working;
    expect((await operation(asked.operation.id)).state).toBe('failed');
    expect((await world.stacks.get(owner, slug)).status).toBe('running');
  });
});

it('FM-28 starts and restarts from the images that were pinned, asks for none by name, and says when one is gone', async () => {
  const { owner, slug } = await running();
  const names = Object.values(IMAGES);
  const asked = (): string => JSON.stringify(world.engine.log.calls);
  world.engine.log.reset();
  for (const kind of ['stop', 'start', 'restart'] as const) {
    expect(await run(await world.stacks.request(owner, slug, kind))).toMatchObject({ state: 'done', error: null });
  }
  // Also what is made anew is made from what was pinned.
  await world.database.dataSource.query('update tenants set generation = generation + 1 where slug = $1', [slug]);
  expect(await run(await world.stacks.request(owner, slug, 'restart'))).toMatchObject({ state: 'done', error: null });
  expect(asked()).toContain('createContainer');
  expect(world.engine.log.calls.filter(({ method }) => /image|pull/i.test(method))).toEqual([]);
  expect(names.filter((name) => asked().includes(name))).toEqual([]);
  // Nothing of the port could fetch one: what is to be made of an image that is gone is told at once, and nothing waits
  // for a registry.
  world.engine.removeImage(IMAGES.AVIARY_IMAGE_POSTGRES);
  try {
    await run(await world.stacks.request(owner, slug, 'stop'));
    await world.database.dataSource.query('update tenants set generation = generation + 1 where slug = $1', [slug]);
    expect(await run(await world.stacks.request(owner, slug, 'start'))).toMatchObject({
      state: 'failed',
      error: { code: 'IMAGE_MISSING' },
    });
    expect(names.filter((name) => asked().includes(name))).toEqual([]);
  } finally {
    world.engine.addImage(IMAGES.AVIARY_IMAGE_POSTGRES);
  }
});
