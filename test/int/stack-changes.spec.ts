import { createPrivateKey, randomBytes } from 'node:crypto';
import pg from 'pg';
import type { Accepted, StackLimits, StackSpec } from '#libs/contracts';
import { publicKeyText } from '#libs/crypto';
import { newId, OperationEntity, PlanEntity, TenantEntity, TenantSecretEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import { PgStackDatabases, type Probes, type StackDatabases } from '#libs/orchestrator';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());
afterEach(() => world.engine.log.reset());

type Owner = Awaited<ReturnType<StackWorld['account']>>;
type RunOptions = Parameters<StackWorld['runner']>[0];

async function run(accepted: Accepted, options: RunOptions = {}, stop = never): Promise<OperationEntity> {
  await world.runner(options).run(accepted.operation.id, accepted.stack.id, stop);
  return world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: accepted.operation.id });
}

async function running(): Promise<{ owner: Owner; slug: string; id: string }> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done' });
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

/** A file as it lies in the secret volume of one of the stack's services. */
function file(slug: string, service: string, path: string): string {
  const volume = world.engine
    .names()
    .volumes.find((name) => name.includes(slug) && name.endsWith(`${service}-secrets`));
  return world.engine.fileIn(volume ?? '', path) ?? '';
}

describe('rotating secrets', () => {
  const server = new URL(process.env['AVIARY_TEST_POSTGRES'] ?? '');
  const roles: string[] = [];
  afterAll(async () => {
    await admin(...roles.map((role) => `drop role if exists ${role}`));
  });

  async function admin(...statements: string[]): Promise<void> {
    const client = new pg.Client({ connectionString: server.href });
    await client.connect();
    try {
      for (const statement of statements) {
        await client.query(statement);
      }
    } finally {
      await client.end();
    }
  }

  async function opens(role: string, password: string): Promise<boolean> {
    const { hostname: host, port } = server;
    const client = new pg.Client({ host, port: Number(port), user: role, password, database: 'postgres' });
    try {
      await client.connect();
      return true;
    } catch (error) {
      expect((error as { code?: string }).code).toBe('28P01');
      return false;
    } finally {
      await client.end();
    }
  }

  /** A stack whose database's role is a real one, with the password the stack was given. */
  async function withDatabase() {
    const stack = await running();
    const role = `stack_${randomBytes(6).toString('hex')}`;
    roles.push(role);
    const old = file(stack.slug, 'postgres', 'database-password');
    await admin(`create role ${role} login password '${old}'`);
    const place = { host: server.hostname, port: Number(server.port), user: role, database: 'postgres' };
    const databases = new PgStackDatabases(
      () => Promise.resolve(),
      () => place,
    );
    /** As the runtime: ready once what it was given opens its stores. */
    const probes: Probes = {
      ready: async () => {
        expect(await opens(role, file(stack.slug, 'runtime', 'database-password'))).toBe(true);
        const redis = /requirepass (\S+)/.exec(file(stack.slug, 'redis', 'redis.conf'))?.[1];
        expect(redis).toBe(file(stack.slug, 'runtime', 'redis-password'));
      },
      served: () => Promise.resolve(),
      activity: () => Promise.resolve(null),
      resumption: () => Promise.resolve(null),
      hold: () => Promise.resolve(null),
    };
    return { ...stack, role, old, parts: { databases, probes } };
  }

  type Rotated = Awaited<ReturnType<typeof withDatabase>>;
  async function expectRotated({ slug, id, role, old }: Rotated): Promise<void> {
    const now = file(slug, 'runtime', 'database-password');
    expect(now).not.toBe(old);
    expect(file(slug, 'postgres', 'database-password')).toBe(now);
    expect({ old: await opens(role, old), now: await opens(role, now) }).toEqual({ old: false, now: true });
    const { manager } = world.database.dataSource;
    expect(
      (await manager.findBy(TenantSecretEntity, { tenantId: id })).every(({ previous }) => previous === null),
    ).toBe(true);
    const { publicKey } = await manager.findOneByOrFail(TenantEntity, { id });
    expect(publicKeyText(createPrivateKey(file(slug, 'runtime', 'stack-key.pem')))).toBe(publicKey);
  }

  it('gives database, Redis and the stack’s own key new secrets, all of which work', async () => {
    const stack = await withDatabase();
    const redis = file(stack.slug, 'runtime', 'redis-password');
    const key = file(stack.slug, 'runtime', 'stack-key.pem');
    const ended = await run(await world.resize.rotateSecrets(stack.owner, stack.slug), stack.parts);
    expect(ended).toMatchObject({ kind: 'rotate_secrets', state: 'done', error: null });
    await expectRotated(stack);
    expect(file(stack.slug, 'runtime', 'redis-password')).not.toBe(redis);
    expect(file(stack.slug, 'runtime', 'stack-key.pem')).not.toBe(key);
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('running');
  });

  type Point = 'renewed' | 'stopped' | 'delivered' | 'started' | 'before ALTER' | 'after ALTER' | 'ready' | 'served';
  /** The parts of a worker that dies at that point of its work. */
  function dyingAt(point: Point, stack: Rotated, stop: AbortController): NonNullable<RunOptions> {
    const die = (): never => {
      stop.abort(new Error(`died: ${point}`));
      throw new Error(`died: ${point}`);
    };
    const at = { renewed: 'observe', stopped: 'stopContainer', delivered: 'fillVolumes', started: 'startContainer' };
    let stopped = 0;
    const engine = new Proxy<Engine>(world.engine, {
      get(target, name, receiver) {
        const member: unknown = Reflect.get(target, name, receiver);
        if (typeof member !== 'function') {
          return member;
        }
        return async (...args: unknown[]) => {
          const result: unknown = await (Reflect.apply(member, target, args) as Promise<unknown>);
          stopped += name === 'stopContainer' ? 1 : 0;
          if (name === at[point as keyof typeof at] && (name !== 'stopContainer' || stopped === 3)) {
            die();
          }
          return result;
        };
      },
    });
    const databases: StackDatabases = {
      changePassword: async (...args) => {
        if (point === 'before ALTER') {
          die();
        }
        const changed = await stack.parts.databases.changePassword(...args);
        return point === 'after ALTER' ? die() : changed;
      },
    };
    const probes: Probes = {
      ...stack.parts.probes,
      ready: async (...args) => {
        await stack.parts.probes.ready(...args);
        return point === 'ready' ? die() : undefined;
      },
      served: () => (point === 'served' ? die() : Promise.resolve()),
    };
    return { engine, databases, probes };
  }

  it.each<Point>(['renewed', 'stopped', 'delivered', 'started', 'before ALTER', 'after ALTER', 'ready', 'served'])(
    'FM-19 survives a worker that dies once it has %s: the next one finishes, with one password everywhere',
    async (point) => {
      const stack = await withDatabase();
      const accepted = await world.resize.rotateSecrets(stack.owner, stack.slug);
      const stop = new AbortController();
      await expect(run(accepted, dyingAt(point, stack, stop), stop.signal)).rejects.toThrow(/died/);
      expect(await run(accepted, stack.parts)).toMatchObject({ state: 'done', error: null });
      await expectRotated(stack);
    },
  );

  it('FM-19 keeps both passwords when it fails, and a restart finishes what was begun', async () => {
    const stack = await withDatabase();
    const dead: StackDatabases = { changePassword: () => Promise.reject(new Error('no answer')) };
    const failed = await run(await world.resize.rotateSecrets(stack.owner, stack.slug), {
      ...stack.parts,
      databases: dead,
    });
    expect(failed).toMatchObject({ state: 'failed', error: { details: { next: 'restart' } } });
    expect(await opens(stack.role, stack.old)).toBe(true);
    // Asked for again before that, no third value pushes out the one the database has.
    const again = await run(await world.resize.rotateSecrets(stack.owner, stack.slug), {
      ...stack.parts,
      databases: dead,
    });
    expect(again.state).toBe('failed');
    expect(await run(await world.stacks.request(stack.owner, stack.slug, 'restart'), stack.parts)).toMatchObject({
      state: 'done',
    });
    await expectRotated(stack);
  });

  it('FM-19 of a stack that rests waits for its database: the next start brings both together', async () => {
    const stack = await withDatabase();
    await run(await world.stacks.request(stack.owner, stack.slug, 'stop'));
    expect(await run(await world.resize.rotateSecrets(stack.owner, stack.slug), stack.parts)).toMatchObject({
      state: 'done',
    });
    expect((await world.stacks.get(stack.owner, stack.slug)).status).toBe('stopped');
    expect(await opens(stack.role, stack.old)).toBe(true);
    expect(await run(await world.stacks.request(stack.owner, stack.slug, 'start'), stack.parts)).toMatchObject({
      state: 'done',
    });
    await expectRotated(stack);
  });

  it('says so when the database takes neither, in the time it has', async () => {
    const { role } = await withDatabase();
    const place = { host: server.hostname, port: Number(server.port), user: role, database: 'postgres' };
    const databases = new PgStackDatabases(
      () => Promise.resolve(),
      () => place,
    );
    await expect(
      databases.changePassword({} as never, { current: 'wrong', previous: 'wrong-too' }, { deadlineMs: 500 }),
    ).rejects.toMatchObject({ code: 'HEALTH_GATE_FAILED', details: { why: 'password' } });
  });

  it('is left alone by an agent that may no longer work', async () => {
    const { role, old } = await withDatabase();
    const place = { host: server.hostname, port: Number(server.port), user: role, database: 'postgres' };
    const databases = new PgStackDatabases(
      () => Promise.reject(new Error('another agent works here')),
      () => place,
    );
    await expect(
      databases.changePassword({} as never, { current: 'next', previous: old }, { deadlineMs: 2_000 }),
    ).rejects.toThrow('another agent works here');
    expect(await opens(role, old)).toBe(true);
  });
});

describe('changing limits', () => {
  async function plan(change: Partial<StackLimits>): Promise<{ code: string; limits: StackLimits }> {
    const { manager } = world.database.dataSource;
    const pro = await manager.findOneByOrFail(PlanEntity, { code: 'pro' });
    const made = Object.assign(new PlanEntity(), pro, {
      id: newId(),
      code: `p${randomBytes(4).toString('hex')}`,
      limits: { ...pro.limits, ...change },
    });
    await manager.insert(PlanEntity, made);
    return made;
  }
  const limitsOf = async (id: string) => {
    const owner = { platform: world.database.platformId, tenant: id };
    const { containers } = await world.engine.observe(owner, { deadlineMs: 1_000 });
    return Object.fromEntries(containers.map(({ name, limits }) => [name.split('-').at(-1), limits]));
  };
  const bots = (slug: string): number => (JSON.parse(file(slug, 'runtime', 'spec.json')) as StackSpec).limits.bots;

  it('changes processor, memory and processes under the running stack', async () => {
    const { owner, slug, id } = await running();
    const { code, limits } = await plan({ memoryMb: 4_000, cpus: 3, pids: 900 });
    const before = { stop: world.engine.log.count('stopContainer'), start: world.engine.log.count('startContainer') };
    const ended = await run(await world.resize.resize(await world.operator(), slug, code));
    expect(ended).toMatchObject({ kind: 'resize', state: 'done', error: null });
    expect({ stop: world.engine.log.count('stopContainer'), start: world.engine.log.count('startContainer') }).toEqual(
      before,
    );
    const { steps } = await world.operations.get(owner, ended.id);
    expect(steps.filter(({ action }) => action === 'change limits')).toHaveLength(3);
    expect(steps.filter(({ state }) => state === 'skipped').map(({ phase }) => phase)).toEqual(['unpublish', 'drain']);
    expect((await limitsOf(id))['runtime']).toEqual({ cpus: 1.8, memoryBytes: 2_400 * 1024 ** 2, pids: 540 });
    expect((await world.stacks.get(owner, slug)).limits).toEqual(limits);
  });

  it('restarts it where the engine refuses, such as less memory than is in use', async () => {
    const { slug, id } = await running();
    const { code } = await plan({ memoryMb: 600 });
    const method = 'updateLimits';
    world.engine.log.failOn({ method, nth: world.engine.log.count(method) + 1, code: 'ENGINE_REFUSED' });
    const ended = await run(await world.resize.resize(await world.operator(), slug, code));
    expect(ended).toMatchObject({ state: 'done', error: null });
    expect((await limitsOf(id))['runtime']).toMatchObject({ memoryBytes: 360 * 1024 ** 2 });
    expect(world.engine.log.count('stopContainer')).toBeGreaterThan(0);
  });

  it('restarts it where the number of bots changes, which the runtime reads at its start', async () => {
    const { slug } = await running();
    const { code, limits } = await plan({ bots: 77 });
    expect(bots(slug)).not.toBe(77);
    expect(await run(await world.resize.resize(await world.operator(), slug, code))).toMatchObject({ state: 'done' });
    expect(bots(slug)).toBe(limits.bots);
  });

  it('of one that rests are those of its next start', async () => {
    const { owner, slug, id } = await running();
    await run(await world.stacks.request(owner, slug, 'stop'));
    const { code } = await plan({ memoryMb: 3_000 });
    expect(await run(await world.resize.resize(await world.operator(), slug, code))).toMatchObject({ state: 'done' });
    expect((await world.stacks.get(owner, slug)).status).toBe('stopped');
    await run(await world.stacks.request(owner, slug, 'start'));
    expect((await limitsOf(id))['runtime']).toMatchObject({ memoryBytes: 1_800 * 1024 ** 2 });
  });

  it('are those of a plan there is, and for a subscriber of their own', async () => {
    const { owner, slug, id } = await running();
    const { manager } = world.database.dataSource;
    const before = await manager.countBy(OperationEntity, { tenantId: id });
    await expect(world.resize.resize(owner, slug, 'platinum')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(world.resize.resize(owner, slug, 'premium')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    expect(await manager.countBy(OperationEntity, { tenantId: id })).toBe(before);
    expect(await run(await world.resize.resize(owner, slug, 'pro'))).toMatchObject({ state: 'done' });
  });
});
