import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { parse } from 'yaml';
import type { ContainerState, EngineObjects } from '#libs/engine';
import { parsePool, parseTemplate } from '#libs/tenants';
import { plan, type Action, type StackHave } from './plan.js';
import { wantStack, type StackFacts } from './want.js';

const template = parseTemplate(
  parse(readFileSync(join(import.meta.dirname, '../../../../tenant-template/standard/compose.yml'), 'utf8')),
  {
    AVIARY_IMAGE_POSTGRES: 'pg:1',
    AVIARY_IMAGE_REDIS: 'redis:1',
    AVIARY_IMAGE_RUNTIME: 'runtime:1',
  },
);
const facts: StackFacts = {
  platformId: '0190a000-0000-7000-8000-000000000001',
  tenantId: '0190a000-0000-7000-8000-0000000000aa',
  slug: 'u4k7mzq',
  generation: 1,
  provisioningGeneration: 1,
  epoch: 1,
  nextEpoch: null,
  keptEpochs: [],
  carriedEpochs: [],
  backingUp: false,
  clonedFrom: null,
  tradingHeldSince: null,
  tradesAfter: null,
  release: '0.1.0',
  desired: 'running',
  holds: [],
  limits: { cpus: 1, memoryMb: 512, diskGb: 5, pids: 256, bots: 2 },
  template,
  images: { postgres: 'sha256:p', redis: 'sha256:r', runtime: 'sha256:t' },
  subnet: 0,
  edges: { runtime: { edge: 0, slot: 3 } },
  pool: parsePool('10.128.0.0/14'),
  hostsOnGateway: ['aviary.localhost'],
  domains: [],
};

interface World {
  objects: EngineObjects;
  edges: Set<number>;
  route: string | null;
  delivered?: number;
}

const empty = (): World => ({ objects: { containers: [], networks: [], volumes: [] }, edges: new Set(), route: null });

let networksMade = 0;

/** What the engine would hold after an action: the smallest model that can contradict the planner. */
function applyTo(world: World, action: Action): void {
  const { objects } = world;
  const container = (name: string): ContainerState => {
    const found = objects.containers.find((state) => state.name === name);
    if (!found) {
      throw new Error(`${action.id}: no container ${name}`);
    }
    return found;
  };
  switch (action.kind) {
    case 'create edge':
      world.edges.add(action.edge);
      return;
    case 'write route':
      world.route = action.text;
      return;
    case 'remove route':
      world.route = null;
      return;
    case 'create network':
      objects.networks.push({
        id: `${action.spec.name} ${networksMade++}`,
        name: action.spec.name,
        labels: action.spec.labels,
        subnet: action.spec.subnet,
        internal: true,
      });
      return;
    case 'remove network':
      objects.networks = objects.networks.filter(({ name }) => name !== action.name);
      for (const state of objects.containers.filter(({ status }) => status === 'running')) {
        const { [action.name]: _gone, ...others } = state.networks;
        state.networks = others;
      }
      return;
    case 'create volume':
      objects.volumes.push({ name: action.spec.name, labels: action.spec.labels });
      return;
    case 'remove volume':
      objects.volumes = objects.volumes.filter(({ name }) => name !== action.name);
      return;
    case 'create container': {
      const { spec } = action;
      for (const { volume } of spec.mounts) {
        if (!objects.volumes.some(({ name }) => name === volume)) {
          throw new Error(`${spec.name} needs ${volume}`);
        }
      }
      if (!objects.networks.some(({ name }) => spec.networks.some(({ network }) => network === name))) {
        throw new Error(`${spec.name} needs its network`);
      }
      objects.containers.push({
        id: spec.name,
        name: spec.name,
        labels: spec.labels,
        imageId: spec.image,
        status: 'created',
        exitCode: null,
        oomKilled: false,
        startedAt: null,
        restartCount: 0,
        limits: spec.limits,
        restart: spec.restart,
        networks: Object.fromEntries(
          spec.networks.map(({ network, address }) => [network, { address, networkId: '' }]),
        ),
      });
      return;
    }
    case 'deliver files':
      world.delivered = action.services.length;
      return;
    case 'start container': {
      const state = container(action.name);
      for (const [network, { networkId }] of Object.entries(state.networks)) {
        const id = objects.networks.find(({ name }) => name === network)?.id;
        if (id !== undefined && networkId !== '' && networkId !== id) {
          throw new Error(`${action.name} asks for a network that is gone`);
        }
      }
      state.status = 'running';
      state.networks = Object.fromEntries(
        Object.entries(state.networks).map(([name, { address }]) => [
          name,
          { address, networkId: objects.networks.find((network) => network.name === name)?.id ?? '' },
        ]),
      );
      return;
    }
    case 'stop container':
      container(action.name).status = 'exited';
      return;
    case 'remove container':
      if (container(action.name).status === 'running') {
        throw new Error(`${action.name} removed while it runs`);
      }
      objects.containers = objects.containers.filter(({ name }) => name !== action.name);
      return;
    case 'change limits':
      container(action.name).limits = action.limits;
      return;
    case 'set restart':
      container(action.name).restart = action.restart;
      return;
    case 'unpause container':
      container(action.name).status = 'running';
      return;
    case 'disconnect network': {
      const state = container(action.container);
      const { [action.network]: _gone, ...others } = state.networks;
      state.networks = others;
      return;
    }
    case 'connect network': {
      const state = container(action.container);
      Object.assign(state.networks, {
        [action.network]: {
          address: action.spec.networks.find(({ network }) => network === action.network)?.address,
          networkId: objects.networks.find(({ name }) => name === action.network)?.id ?? '',
        },
      });
      return;
    }
  }
}

/** One of the things somebody with the engine's socket does to a container. */
function spoil(state: ContainerState, how: number): void {
  const [network = ''] = Object.keys(state.networks);
  switch (how % 7) {
    case 0:
      state.restart = 'no';
      return;
    case 1:
      state.imageId = 'sha256:other';
      return;
    case 2:
      state.status = state.status === 'running' ? 'paused' : state.status;
      return;
    case 3:
      state.networks = { ...state.networks, [network]: { address: '10.9.9.9', networkId: '' } };
      return;
    case 4:
      state.networks = { ...state.networks, strange: { address: '10.9.9.9', networkId: '' } };
      return;
    case 5:
      state.networks = {};
      return;
    default:
      state.limits = { cpus: 1, memoryBytes: 1, pids: 1 };
  }
}

/** Applies in an order the needs allow, chosen by `pick`. */
function run(world: World, actions: readonly Action[], pick: (ready: Action[]) => Action): string[] {
  const done = new Set<string>();
  const left = new Set(actions);
  const order: string[] = [];
  while (left.size > 0) {
    const ready = [...left].filter(({ needs }) => needs.every((need) => done.has(need)));
    const next = pick(ready);
    left.delete(next);
    applyTo(world, next);
    done.add(next.id);
    order.push(next.id);
  }
  return order;
}

const have = (world: World): StackHave => ({
  objects: structuredClone(world.objects),
  edges: world.edges,
  route: world.route,
});
const first = (ready: Action[]): Action => {
  const [action] = ready;
  if (!action) {
    throw new Error('nothing is ready: a circle, or a need outside the plan');
  }
  return action;
};

const built = (): World => {
  const world = empty();
  run(world, plan(wantStack(facts), have(world), { text: 'route' }), first);
  return world;
};

it('makes everything from nothing, and then finds nothing to do', () => {
  const world = built();
  expect(
    world.objects.containers
      .map(({ name, status }) => `${name.split('-').at(-1)} ${status}`)
      .toSorted((a, b) => a.localeCompare(b)),
  ).toEqual(['postgres running', 'redis running', 'runtime running']);
  expect(world.objects.volumes).toHaveLength(5);
  expect(plan(wantStack(facts), have(world), { text: 'route' })).toEqual([]);
});

it('starts services side by side: no service waits for another', () => {
  const actions = plan(wantStack(facts), have(empty()), { text: 'route' });
  const starts = actions.filter(({ kind }) => kind === 'start container');
  expect(starts).toHaveLength(3);
  for (const start of starts) {
    expect(start.needs).toEqual(['deliver files secrets', `create container ${start.target}`]);
  }
  expect(actions.find(({ kind }) => kind === 'write route')?.needs).toEqual([]);
});

it('stops what trades before what it stores in, and keeps containers and data', () => {
  const world = built();
  const order = run(world, plan(wantStack({ ...facts, desired: 'stopped' }), have(world), { text: 'asleep' }), first);
  expect(order[0]).toBe('write route route');
  expect(order.slice(1).map((id) => id.split('-').at(-1))).toEqual(['runtime', 'redis', 'postgres']);
  expect(world.objects.volumes).toHaveLength(5);
  expect(plan(wantStack({ ...facts, desired: 'stopped' }), have(world), { text: 'asleep' })).toEqual([]);
});

it('a hold stops a stack that is wanted', () => {
  const actions = plan(wantStack({ ...facts, holds: ['billing'] }), have(built()), { text: 'route' });
  expect(new Set(actions.map(({ kind }) => kind))).toEqual(new Set(['stop container']));
});

it('what the breaker stops is not started by the engine either; never changed in the moment it ends', () => {
  const world = built();
  const want = wantStack({ ...facts, holds: ['breaker'] });
  const actions = plan(want, have(world), { text: 'route' });
  const policies = actions.filter(({ kind }) => kind === 'set restart');
  expect(policies.map(({ needs, target }) => needs.includes(`stop container ${target}`))).toEqual([true, true, true]);
  run(world, actions, first);
  expect(world.objects.containers.map(({ status, restart }) => `${status} ${restart}`)).toEqual(
    Array<string>(3).fill('exited no'),
  );
  expect(plan(want, have(world), { text: 'route' })).toEqual([]);
});

it('erases everything, also what the template no longer knows', () => {
  const world = built();
  const [sample] = world.objects.containers;
  if (!sample) {
    throw new Error('no container');
  }
  world.objects.containers.push({ ...sample, name: 'aviary-x-u4k7mzq-old', id: 'old' });
  world.objects.volumes.push({ name: 'aviary-x-u4k7mzq-data-0', labels: {} });
  run(world, plan(wantStack({ ...facts, desired: 'deleted' }), have(world), { text: null }), first);
  expect(world).toEqual({ ...empty(), edges: new Set([0]), delivered: 3 });
});

it('removes what a crash left of a delivery before it delivers by the same name again', () => {
  const world = built();
  const [sample] = world.objects.containers;
  if (!sample) {
    throw new Error('no container');
  }
  sample.status = 'exited';
  const courier = 'aviary-0001-u4k7mzq-courier';
  world.objects.containers.push({
    ...sample,
    id: courier,
    name: courier,
    status: 'created',
    labels: { ...sample.labels, 'aviary.role': 'courier' },
  });
  const actions = plan(wantStack(facts), have(world), { text: 'route' });
  expect(actions.find(({ kind }) => kind === 'deliver files')?.needs).toEqual([`remove container ${courier}`]);
});

it('clears away the server a backup was proven on once no backup uses it, also of a stack that rests', () => {
  const world = built();
  const [sample] = world.objects.containers;
  if (!sample) {
    throw new Error('no container');
  }
  const base = 'aviary-0001-u4k7mzq';
  const labels = { 'aviary.platform': facts.platformId, 'aviary.tenant': facts.tenantId, 'aviary.role': 'scratch' };
  world.objects.containers.push({ ...sample, id: 'scratch', name: `${base}-scratch`, labels });
  world.objects.volumes.push({ name: `${base}-scratch-0`, labels }, { name: `${base}-scratch-secrets`, labels });
  const targets = (change: Partial<StackFacts>): string[] =>
    plan(wantStack({ ...facts, ...change }), have(world), { text: 'route' })
      .filter(({ target }) => target.includes('scratch'))
      .map(({ id }) => id);
  const gone = [
    `remove container ${base}-scratch`,
    `remove volume ${base}-scratch-0`,
    `remove volume ${base}-scratch-secrets`,
  ];
  expect(targets({})).toEqual(gone);
  expect(targets({ desired: 'stopped' })).toEqual(gone);
  expect(targets({ backingUp: true })).toEqual([]);
  expect(targets({ backingUp: true, desired: 'stopped' })).toEqual([]);
});

it('makes a container anew when its specification changed, and only that one', () => {
  const world = built();
  const actions = plan(wantStack({ ...facts, images: { ...facts.images, redis: 'sha256:new' } }), have(world), {
    text: 'route',
  });
  expect(actions.map(({ kind }) => kind)).toEqual([
    'deliver files',
    'stop container',
    'remove container',
    'create container',
    'start container',
  ]);
  expect(actions.every(({ target }) => target.endsWith('-redis') || target === 'secrets')).toBe(true);
  run(world, actions, first);
  expect(
    plan(wantStack({ ...facts, images: { ...facts.images, redis: 'sha256:new' } }), have(world), { text: 'route' }),
  ).toEqual([]);
});

it('changes limits live', () => {
  const world = built();
  const more = { ...facts, limits: { ...facts.limits, memoryMb: 1024 } };
  expect(new Set(plan(wantStack(more), have(world), { text: 'route' }).map(({ kind }) => kind))).toEqual(
    new Set(['change limits']),
  );
});

it('comes to the same end from any damaged state, in any order the needs allow', () => {
  const desired = fc.constantFrom('running' as const, 'stopped' as const, 'deleted' as const);
  fc.assert(
    fc.property(
      desired,
      fc.infiniteStream(fc.nat()),
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      (target, choices, damage) => {
        const world = built();
        // Damage: each container may be gone or stopped, volumes of secrets and the network gone, the route altered.
        world.objects.containers = world.objects.containers.filter((state, index) => {
          if ((damage[index] ?? 0) % 3 === 1) {
            state.status = 'exited';
          }
          return (damage[index] ?? 0) % 3 !== 0;
        });
        if (world.objects.containers.every(({ status }) => status === 'exited') && (damage[4] ?? 0) % 2 === 0) {
          world.objects.networks = [];
        }
        for (const [index, state] of world.objects.containers.entries()) {
          spoil(state, damage[6 + index] ?? 0);
        }
        if ((damage[9] ?? 0) % 4 === 0) {
          world.objects.networks.forEach((network) => (network.internal = false));
        }
        world.route = (damage[5] ?? 0) % 2 === 0 ? null : 'altered';
        const want = wantStack({ ...facts, desired: target });
        const route = { text: target === 'deleted' ? null : 'route' };
        const actions = plan(want, have(world), route);
        run(world, actions, (ready) => ready[(choices.next().value ?? 0) % ready.length] ?? first(ready));
        expect(plan(want, have(world), route)).toEqual([]);
      },
    ),
    { numRuns: 200 },
  );
});

it('never plans an empty volume in the place of one that held data, once the stack was served', () => {
  const served = { ...facts, provisioningGeneration: 0 };
  const world = built();
  world.objects = { ...world.objects, volumes: world.objects.volumes.filter(({ name }) => !name.endsWith('-data-1')) };
  const route = { text: 'route' };
  expect(() => plan(wantStack(served), have(world), route)).toThrow('with the stack’s data is gone');
  expect(() => plan(wantStack({ ...served, generation: 2 }), have(world), route)).toThrow('is gone');
  // What only stops or removes needs no data, and before the stack was served there was none.
  expect(() => plan(wantStack({ ...served, desired: 'stopped' }), have(world), route)).not.toThrow();
  expect(() => plan(wantStack({ ...served, desired: 'deleted' }), have(world), { text: null })).not.toThrow();
  expect(plan(wantStack(facts), have(world), route).map(({ kind }) => kind)).toContain('create volume');
});
