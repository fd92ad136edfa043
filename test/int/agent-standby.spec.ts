import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { OperationEntity } from '#libs/db';
import { FakeEngineServer } from '#libs/engine';
import { AgentProcess, agentHome, type AgentHome } from '../support/agent-process.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

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
  const next = await world.stacks.request(owner, stack.slug, 'destroy');
  expect(await ended(next.operation.id)).toMatchObject({ state: 'done' });
  expect(mine(stack.slug)).toEqual([]);
}, 120_000);

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

it('an agent that was paused, taken over from and resumed changes nothing more, neither engine nor routes nor rules', async () => {
  // Short, so that the answer it waits for still finds it waiting.
  const settings = { AVIARY_LEASE_SECONDS: '4' };
  const old = await start('old', settings);
  await becomesActive(old, 5_000);
  const owner = await world.account('pro');
  await waitFor(() => door('old').mutations > 0 || undefined, { what: 'the firewall', deadlineMs: 10_000 });
  const sprung = door('old').holdAfter(1, 'startContainer');
  const { operation, stack } = await world.stacks.create(owner, { template: 'standard' });
  await sprung;
  // In the middle of an operation, between two changes of the engine.
  old.pause();
  const successor = await start('successor', settings);
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
