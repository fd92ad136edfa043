import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { waitFor } from '#libs/async';
import { platformPrefix, type Accepted } from '#libs/contracts';
import { newSigningKey, publicKeyText } from '#libs/crypto';
import { OperationEntity } from '#libs/db';
import { expectedFirewall } from '#libs/edge';
import { exits, FakeEngineServer, byCommand } from '#libs/engine';
import { IMAGES, stackWorld, type StackWorld } from '../support/stack-world.js';
import { program } from '../support/program.js';

const LEASE_SECONDS = 1;
/** Private, and not this machine's: the agent takes them from its settings alone. */
const RESOLVERS = ['10.20.30.40', '192.168.9.9'];
const ROOT = resolve(import.meta.dirname, '../..');

let world: StackWorld;
let home: string;
let server: FakeEngineServer;
let child: ChildProcess | null = null;
const gateKey = publicKeyText(newSigningKey());

beforeAll(async () => {
  world = await stackWorld();
  home = await mkdtemp(join(tmpdir(), 'aviary-kill-'));
  // A local authority stands ready, so that the child does not make one for each of its lives.
  await mkdir(join(home, 'data'), { recursive: true });
  const settings = {
    prefix: platformPrefix(world.database.platformId),
    resolvers: RESOLVERS,
    portalPorts: [80, 443],
  };
  // The helper prints the rules as they should be, so the agent finds its firewall in order.
  const rules = expectedFirewall(settings).replaceAll(/^top /gm, '').split('\n');
  world.engine.behaviour = (context) =>
    context.labels['aviary.service'] === 'firewall' ? exits(0, ...rules) : byCommand(context);
  server = await FakeEngineServer.listen(world.engine, join(home, 'engine.sock'));
}, 60_000);

afterAll(async () => {
  await kill();
  await server.close();
  await world.close();
  await rm(home, { recursive: true, force: true });
});

async function live(): Promise<void> {
  const helped = world.engine.log.count('runOnce');
  const made = spawn(process.execPath, [...program('test/support/agent-child.ts'), join(home, 'engine.sock')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      AVIARY_ENV: 'test',
      AVIARY_LOG_LEVEL: 'warn',
      AVIARY_PLATFORM_ID: world.database.platformId,
      AVIARY_DATABASE_URL: world.database.url,
      AVIARY_MASTER_KEY: world.masterKey,
      AVIARY_GATE_PUBLIC_KEY: gateKey,
      AVIARY_API_URLS: world.edge.apiUrls.join(','),
      AVIARY_GATE_URLS: world.edge.gateUrls.join(','),
      AVIARY_RESOLVERS: RESOLVERS.join(','),
      AVIARY_TOOLS_IMAGE: IMAGES.AVIARY_IMAGE_POSTGRES,
      ...IMAGES,
      AVIARY_TEMPLATE_DIR: join(ROOT, 'tenant-template'),
      AVIARY_DATA_DIR: join(home, 'data'),
      AVIARY_AGENT_SOCKET: join(home, 'agent.sock'),
      AVIARY_LEASE_SECONDS: String(LEASE_SECONDS),
      AVIARY_PROXY_PORT: '1',
    },
  });
  child = made;
  let said = '';
  made.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  made.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await waitFor(
    () => {
      if (made.exitCode !== null) {
        throw new Error(`the agent ended: ${said}`);
      }
      return said.includes('ready\n') || undefined;
    },
    { what: 'the agent starting', deadlineMs: 20_000 },
  );
  // Its look at the firewall is an engine call too and must not be counted with the operation's.
  await waitFor(
    () =>
      world.engine.log.calls.filter(({ method, outcome }) => method === 'runOnce' && outcome === 'done').length >
        helped || undefined,
    {
      what: 'the agent looking at its firewall',
      deadlineMs: 10_000,
    },
  );
}

async function kill(): Promise<void> {
  if (child && child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
  child = null;
}

async function ended(operationId: string): Promise<OperationEntity> {
  return waitFor(
    async () => {
      const row = await world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: operationId });
      return ['queued', 'running'].includes(row.state) ? undefined : row;
    },
    { what: `the end of operation ${operationId}`, deadlineMs: 30_000 },
  );
}

const mine = (slug: string): string[] =>
  Object.values(world.engine.names())
    .flat()
    .filter((name) => name.includes(slug));

/** Whether the proxy's folder holds the stack's route: an agent that comes back must know it for its own. */
const routed = (slug: string): Promise<boolean> =>
  access(join(home, 'data', 'routes', `${slug}.yml`)).then(
    () => true,
    () => false,
  );

const EFFECTS = [
  'createContainer',
  'createNetwork',
  'createVolume',
  'startContainer',
  'stopContainer',
  'removeContainer',
  'removeNetwork',
  'removeVolume',
];

/** Effects by object that took place more than once: in the life of one stack each has its one time. */
function doubled(slug: string): string[] {
  const seen = new Map<string, number>();
  for (const { method, args, outcome } of world.engine.log.calls) {
    const [target] = args;
    const name = typeof target === 'string' ? target : ((target as { name?: string } | undefined)?.name ?? '');
    if (outcome === 'done' && EFFECTS.includes(method) && name.includes(slug)) {
      seen.set(`${method} ${name}`, (seen.get(`${method} ${name}`) ?? 0) + 1);
    }
  }
  return [...seen].filter(([, times]) => times > 1).map(([what]) => what);
}

type Owner = Awaited<ReturnType<StackWorld['account']>>;
const create = (owner: Owner): Promise<Accepted> => world.stacks.create(owner, { template: 'standard' });

type Named = 'all' | 'createNetwork' | 'fillVolumes';

/** Kills the agent once call `i` (of that method, if one is named) was executed and before its answer arrives, then starts it again. */
async function killedAfter(
  i: number,
  request: () => Promise<Accepted>,
  of: Named = 'all',
): Promise<{ accepted: Accepted; method: string | null; row: OperationEntity }> {
  server.resetCounts();
  const sprung = server.holdAfter(i, of);
  const accepted = await request();
  const first = await Promise.race([sprung, ended(accepted.operation.id).then(() => null)]);
  if (first !== null) {
    await kill();
    server.resetCounts();
    await live();
  }
  return { accepted, method: first, row: await ended(accepted.operation.id) };
}

it('takes work only once its firewall stands', async () => {
  const behaviour = world.engine.behaviour;
  world.engine.behaviour = (context) =>
    context.labels['aviary.service'] === 'firewall' ? exits(1, 'no iptables here') : behaviour(context);
  const owner = await world.account();
  const { stack, operation } = await create(owner);
  const looks = world.engine.log.count('runOnce');
  await live();
  // Its first look failed, and its next one comes some seconds later.
  await waitFor(() => world.engine.log.count('runOnce') > looks + 1 || undefined, {
    what: 'a second look at the firewall',
    deadlineMs: 20_000,
  });
  const where = { id: operation.id };
  const waits = await world.database.dataSource.manager.findOneByOrFail(OperationEntity, where);
  expect(waits).toMatchObject({ state: 'queued', attempts: 0 });
  expect(mine(stack.slug)).toEqual([]);
  world.engine.behaviour = behaviour;
  expect(await ended(operation.id)).toMatchObject({ state: 'done', error: null });
  await kill();
}, 60_000);

it('survives kill -9 after every engine call of provisioning and of destroying: no effect doubled, nothing left', async () => {
  const owner = await world.account('premium');
  const destroy = async (slug: string): Promise<OperationEntity> =>
    ended((await world.stacks.request(owner, slug, 'destroy')).operation.id);
  const calmly = async (request: () => Promise<Accepted>): Promise<{ accepted: Accepted; calls: number }> => {
    server.resetCounts();
    const accepted = await request();
    expect((await ended(accepted.operation.id)).state).toBe('done');
    return { accepted, calls: server.calls };
  };
  // The first stack of an agent makes the edge too, which it remembers then.
  await live();
  const cold = await calmly(() => create(owner));
  expect((await destroy(cold.accepted.stack.slug)).state).toBe('done');
  const calm = await calmly(() => create(owner));
  const { slug: calmSlug } = calm.accepted.stack;
  expect(mine(calmSlug)).toHaveLength(9);
  const gone = await calmly(() => world.stacks.request(owner, calmSlug, 'destroy'));
  expect(doubled(calmSlug)).toEqual([]);
  expect(calm.calls).toBeGreaterThan(15);
  expect(gone.calls).toBeGreaterThan(10);

  const killedCreating = async (i: number, of: Named = 'all'): Promise<string> => {
    const { accepted, method, row } = await killedAfter(i, () => create(owner), of);
    const { slug } = accepted.stack;
    const what = { creating: i, of: calm.calls, method };
    expect({ ...what, state: row.state, error: row.error }).toEqual({ ...what, state: 'done', error: null });
    expect(mine(slug)).toHaveLength(9);
    expect({ ...what, routed: await routed(slug) }).toEqual({ ...what, routed: true });
    expect((await destroy(slug)).state).toBe('done');
    expect(mine(slug)).toEqual([]);
    expect({ ...what, routed: await routed(slug) }).toEqual({ ...what, routed: false });
    expect({ ...what, doubled: doubled(slug) }).toEqual({ ...what, doubled: [] });
    return method ?? 'not killed';
  };
  const kills: string[] = [];
  for (let i = 1; i <= calm.calls; i += 1) {
    kills.push(await killedCreating(i));
  }
  // Its own network and the edge, side by side in either order, by an agent that knows of no edge yet.
  for (const which of [1, 2]) {
    await kill();
    await live();
    expect(await killedCreating(which, 'createNetwork')).toBe('createNetwork');
  }
  // The files before the start, which go beside other calls, and those that end the permission to begin anew.
  for (const which of [1, 2]) {
    expect(await killedCreating(which, 'fillVolumes')).toBe('fillVolumes');
  }
  for (let i = 1; i <= gone.calls; i += 1) {
    const made = await create(owner);
    expect((await ended(made.operation.id)).state).toBe('done');
    const { slug } = made.stack;
    const { method, row } = await killedAfter(i, () => world.stacks.request(owner, slug, 'destroy'));
    const what = { destroying: i, of: gone.calls, method };
    expect({ ...what, state: row.state, error: row.error }).toEqual({ ...what, state: 'done', error: null });
    expect(mine(slug)).toEqual([]);
    expect({ ...what, routed: await routed(slug) }).toEqual({ ...what, routed: false });
    expect({ ...what, doubled: doubled(slug) }).toEqual({ ...what, doubled: [] });
    kills.push(method ?? 'not killed');
  }
  expect(kills).toHaveLength(calm.calls + gone.calls);
  expect(kills).not.toContain('not killed');
  // Calls side by side arrive in any order; of these there are several, so at least one of each was cut off.
  expect(kills).toEqual(expect.arrayContaining(['observe', 'startContainer', 'stopContainer']));
  expect((await world.stacks.list(owner)).items).toEqual([]);
}, 600_000);
