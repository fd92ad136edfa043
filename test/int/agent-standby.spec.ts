import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import type { EngineStanding } from '#libs/contracts';
import { OperationEntity, OrphanEntity } from '#libs/db';
import { FakeEngineServer } from '#libs/engine';
import { FleetOverviewQuery } from '#libs/tenants';
import { AgentProcess, agentHome, type AgentHome } from '../support/agent-process.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

/** Short, so that what was paused still finds its deadlines far away. */
const SHORT = { AVIARY_LEASE_SECONDS: '4' };
/** What the requirement allows from an agent's death to the work going on. */
const TAKEN_OVER_MS = 30_000;

let world: StackWorld;
let home: AgentHome;
let directory: string;
const doors = new Map<string, FakeEngineServer>();
const agents: AgentProcess[] = [];

beforeEach(async () => {
  world = await stackWorld();
  directory = await mkdtemp(join(tmpdir(), 'aviary-standby-'));
  home = await agentHome(world, directory);
}, 60_000);

afterEach(async () => {
  for (const agent of agents.splice(0)) {
    agent.resume();
    await agent.kill();
  }
  await Promise.all([...doors.values()].map((door) => door.close()));
  doors.clear();
  await world.close();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

/** Each agent comes to the one engine by a door of its own, which counts what it asks for. */
async function start(name: string, settings: Readonly<Record<string, string>> = {}): Promise<AgentProcess> {
  const socket = join(directory, `engine-${name}.sock`);
  doors.set(name, await FakeEngineServer.listen(world.engine, socket));
  const agent = await AgentProcess.start(home, name, socket, settings);
  agents.push(agent);
  return agent;
}

function door(name: string): FakeEngineServer {
  const found = doors.get(name);
  if (!found) {
    throw new Error(`there is no door ${name}`);
  }
  return found;
}

/** The same at two looks: whoever counts has nothing on its way. */
async function settled(count: () => number): Promise<void> {
  let before = -1;
  const same = (): true | undefined => {
    const now = count();
    const isSame = now === before;
    before = now;
    return isSame || undefined;
  };
  await waitFor(same, { what: 'nothing more being asked for', deadlineMs: 10_000, intervalMs: 300 });
}

const becomesActive = (agent: AgentProcess, deadlineMs: number): Promise<true> =>
  waitFor(async () => ((await agent.active()) ? true : undefined), { what: `${agent.name} taking over`, deadlineMs });

const ended = (operationId: string, deadlineMs = TAKEN_OVER_MS): Promise<OperationEntity> =>
  waitFor(
    async () => {
      const row = await world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: operationId });
      return ['queued', 'running'].includes(row.state) ? undefined : row;
    },
    { what: `the end of operation ${operationId}`, deadlineMs },
  );

/** As an operator reads it. */
async function engineOf({ database }: StackWorld): Promise<EngineStanding> {
  const actor = { kind: 'operator', accountId: randomUUID(), username: 'olga', via: 'cli' } as const;
  const query = new FleetOverviewQuery(database.dataSource, () => new Date());
  const [engine] = (await query.read({ ...actor, ip: null, sessionId: null })).engines;
  if (!engine) {
    throw new Error('there is no engine');
  }
  return engine;
}

const mine = (slug: string): string[] =>
  Object.values(world.engine.names())
    .flat()
    .filter((name) => name.includes(slug));

it('a second agent of one engine stands by, touches nothing, and takes over from one that stops', async () => {
  const first = await start('first');
  await becomesActive(first, 5_000);
  const second = await start('second');
  expect([await first.active(), await second.active()]).toEqual([true, false]);
  const owner = await world.account('pro');
  const { operation, stack } = await world.stacks.create(owner, { template: 'standard' });
  expect(await ended(operation.id)).toMatchObject({ state: 'done', error: null });
  expect(mine(stack.slug)).not.toEqual([]);
  expect(door('second').mutations).toBe(0);
  const standing = await engineOf(world);
  expect(standing).toMatchObject({ lease: { held: true }, standBy: [{ owner: expect.stringMatching(/^local@/) }] });
  const [waits] = standing.standBy;
  expect(waits?.owner).not.toBe(standing.lease?.owner);
  // Well, because the other is seen to live; it could take over at any time.
  await waitFor(async () => ((await second.health()).status === 200 ? true : undefined), {
    what: 'a stand-by that is well',
    deadlineMs: 20_000,
  });
  const began = performance.now();
  await first.kill('SIGTERM');
  await becomesActive(second, TAKEN_OVER_MS);
  // One that ends in order lets go: nobody waits for the lease to run out.
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(await engineOf(world)).toMatchObject({ lease: { owner: waits?.owner, held: true }, standBy: [] });
  const next = await world.stacks.request(owner, stack.slug, 'destroy');
  expect(await ended(next.operation.id)).toMatchObject({ state: 'done' });
  expect(mine(stack.slug)).toEqual([]);
}, 120_000);

it('tells on its engine’s row what it has seen, and nothing of what it has not looked at yet', async () => {
  await world.stacks.create(await world.account('pro'), { template: 'standard' });
  await becomesActive(await start('first'), 5_000);
  const figures = await waitFor(async () => (await engineOf(world)).figures ?? undefined, {
    what: 'figures of the agent',
    deadlineMs: 20_000,
  });
  // The agents of these tests look at the whole engine once an hour, and no proxy runs here.
  expect(figures).toMatchObject({ pass: null, routeLagMs: null, acme: null, proxyRepairs: { files: 0, restarts: 0 } });
}, 60_000);

it('a killed agent’s work half-way is ended by the other within 30 s', async () => {
  const first = await start('first');
  await becomesActive(first, 5_000);
  await start('second');
  const owner = await world.account('pro');
  // Past the first look at the firewall, so that the call is one of the operation.
  await waitFor(() => door('first').mutations > 0 || undefined, { what: 'the firewall', deadlineMs: 10_000 });
  const sprung = door('first').holdAfter(1, 'startContainer');
  const { operation } = await world.stacks.create(owner, { template: 'standard' });
  await sprung;
  const began = performance.now();
  await first.kill();
  expect(await ended(operation.id, 60_000)).toMatchObject({ state: 'done', error: null });
  expect(performance.now() - began).toBeLessThan(TAKEN_OVER_MS);
}, 120_000);

it('an agent that is replaced half-way hands its work on: nothing is made twice, and no phase is left out', async () => {
  const first = await start('first');
  await becomesActive(first, 5_000);
  await waitFor(() => door('first').mutations > 0 || undefined, { what: 'the firewall', deadlineMs: 10_000 });
  const sprung = door('first').holdAfter(1, 'startContainer');
  const { operation, stack } = await world.stacks.create(await world.account('pro'), { template: 'standard' });
  await sprung;
  await first.kill('SIGTERM');
  // As a deploy does it: the next one starts once this one has ended.
  await start('second');
  expect(await ended(operation.id, 60_000)).toMatchObject({ state: 'done', error: null });
  const made = world.engine.log.calls
    .filter(({ method }) => method === 'createContainer')
    .map(({ args }) => (args[0] as { name: string }).name)
    .filter((name) => name.includes(stack.slug));
  expect(made.toSorted()).toEqual([...new Set(made)].toSorted());
  // What the first was doing stands there as cut off; each phase was then brought to its end.
  const left: { phase: string }[] = await world.database.dataSource.query(
    `select phase from operation_steps where operation_id = $1
      group by phase having not bool_or(state in ('done', 'skipped'))`,
    [operation.id],
  );
  expect(left).toEqual([]);
}, 120_000);

it('an agent that was paused with its change begun, taken over from and resumed begins no other, neither engine nor routes nor rules', async () => {
  const old = await start('old', SHORT);
  await becomesActive(old, 5_000);
  const owner = await world.account('pro');
  await waitFor(() => door('old').mutations > 0 || undefined, { what: 'the firewall', deadlineMs: 10_000 });
  const sprung = door('old').holdAfter(1, 'startContainer');
  const { operation, stack } = await world.stacks.create(owner, { template: 'standard' });
  await sprung;
  // What it does beside it comes to its end, so that nothing is on its way of which it has proven that it may.
  await settled(() => door('old').mutations);
  // In the middle of an operation, between two changes of the engine.
  old.pause();
  const successor = await start('successor', SHORT);
  await becomesActive(successor, TAKEN_OVER_MS);
  expect(await ended(operation.id, 60_000)).toMatchObject({ state: 'done', error: null });
  const destroyed = await world.stacks.request(owner, stack.slug, 'destroy');
  expect(await ended(destroyed.operation.id)).toMatchObject({ state: 'done' });
  expect(mine(stack.slug)).toEqual([]);
  const shared = join(directory, 'data/routes/aviary-shared.yml');
  const route = join(directory, 'data/routes', `${stack.slug}.yml`);
  const before = {
    calls: door('old').mutations,
    routes: await readFile(shared, 'utf8'),
    at: (await stat(shared)).mtimeMs,
  };
  door('old').releaseHeld();
  old.resume();
  // Its operation has its answer and would go on; each of its timers is overdue at once.
  await waitFor(() => old.exitCode ?? undefined, { what: 'the old agent seeing that it is over', deadlineMs: 20_000 });
  expect(old.said).toContain('lost: Another agent works on the engine');
  expect(door('old').mutations).toBe(before.calls);
  expect({ ...before, routes: await readFile(shared, 'utf8'), at: (await stat(shared)).mtimeMs }).toEqual(before);
  await expect(stat(route)).rejects.toThrow('ENOENT');
  expect(mine(stack.slug)).toEqual([]);
  expect(await successor.active()).toBe(true);
}, 180_000);

/** Paused where nothing can hold it back any more: it has proven that it may, and has not sent the call. */
describe('an agent paused between its proof and the call it was for', () => {
  async function resumed(method: 'startContainer' | 'createVolume', then: 'stop' | 'destroy') {
    const old = await start('old', { ...SHORT, TEST_STOPS_BEFORE: method });
    await becomesActive(old, 5_000);
    const owner = await world.account('pro');
    const { operation, stack } = await world.stacks.create(owner, { template: 'standard' });
    await waitFor(async () => (await old.stands()) || undefined, { what: 'the pause', deadlineMs: 30_000 });
    const successor = await start('successor', { ...SHORT, TEST_RECONCILES: 'yes' });
    await becomesActive(successor, TAKEN_OVER_MS);
    expect(await ended(operation.id, 60_000)).toMatchObject({ state: 'done', error: null });
    const next = await world.stacks.request(owner, stack.slug, then);
    expect(await ended(next.operation.id)).toMatchObject({ state: 'done', error: null });
    const before = { mutations: door('old').mutations, left: mine(stack.slug), running: await running(stack.id) };
    old.resume();
    await waitFor(() => old.exitCode ?? undefined, {
      what: 'the old agent seeing that it is over',
      deadlineMs: 20_000,
    });
    expect(old.said).toContain('lost: Another agent works on the engine');
    // That one, which no engine can be told to refuse, and none after it.
    expect(door('old').mutations).toBe(before.mutations + 1);
    return { stack, before };
  }

  const running = async (tenant: string): Promise<string[]> => {
    const { containers } = await world.engine.observe(
      { platform: world.database.platformId, tenant },
      { deadlineMs: 5_000 },
    );
    return containers.filter(({ status }) => status === 'running').map(({ name }) => name);
  };

  it('starts one container of a stack that was stopped meanwhile, and the other stops it again', async () => {
    const { stack, before } = await resumed('startContainer', 'stop');
    expect(before.running).toEqual([]);
    const { manager } = world.database.dataSource;
    const { id } = await waitFor(
      async () => (await manager.findOneBy(OperationEntity, { tenantId: stack.id, kind: 'repair' })) ?? undefined,
      { what: 'the repair', deadlineMs: 30_000 },
    );
    expect(await ended(id)).toMatchObject({ state: 'done', error: null });
    expect(await running(stack.id)).toEqual([]);
    expect(mine(stack.slug)).toEqual(before.left);
  }, 180_000);

  it('makes one volume of a stack that is gone, empty, and it is listed as one that no stack wants', async () => {
    const { stack, before } = await resumed('createVolume', 'destroy');
    expect(before.left).toEqual([]);
    const left = mine(stack.slug);
    expect(left).toHaveLength(1);
    await world.reconciler().pass(new AbortController().signal);
    expect(await world.database.dataSource.manager.find(OrphanEntity)).toMatchObject([
      { kind: 'volume', name: left[0], tenantId: stack.id, why: 'no_stack', removeAt: expect.any(Date) },
    ]);
  }, 180_000);
});
