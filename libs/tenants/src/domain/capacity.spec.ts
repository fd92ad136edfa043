import { CAPACITY_DEFAULTS, type CapacityItem, type CapacityResource, type EngineCapacity } from '#libs/contracts';
import {
  capacityItems,
  capacityLevel,
  growthOf,
  placementOf,
  requireRoomFor,
  runningOf,
  worstLevel,
} from './capacity.js';

const limits = { cpus: 1, memoryMb: 768, diskGb: 5, pids: 384, bots: 5 };
const placement = placementOf(limits, { all: 3, onEdge: 1 });
const host: EngineCapacity = {
  memoryMb: 10_000,
  cpus: 4,
  disk: { totalMb: 102_400, freeMb: 51_200 },
  pidMax: 32_768,
  inotifyInstances: 128,
  neighbours: 1_024,
  cgroupVersion: '2',
  overcommit: { memory: 2, cpu: 10, disk: 1, pids: 1 },
  diskFloorMb: 2_400,
  edgePorts: 10,
};
const nothing = { memoryMb: 0, cpus: 0, pids: 0, containers: 0, diskGb: 0, subnets: 0, edgePorts: 0 };
const pools = { subnets: 100, edges: 15 };
const of = (items: readonly CapacityItem[], resource: CapacityResource): CapacityItem | undefined =>
  items.find((item) => item.resource === resource);

it('promises what the host has, as often as the settings say', () => {
  const items = capacityItems(host, { ...nothing, memoryMb: 16_000, containers: 30 }, pools);
  expect(Object.fromEntries(items.map(({ resource, used, limit }) => [resource, [used, limit]]))).toEqual({
    memory: [16_000, 20_000],
    cpu: [0, 40],
    diskFree: [51_200, 100_000],
    disk: [0, 100],
    subnets: [0, 100],
    edgePorts: [0, 150],
    pids: [0, 32_768],
    inotify: [30, 128],
    neighbours: [90, 1_024],
  });
  expect(of(items, 'memory')).toMatchObject({ share: 0.8, level: 'warn', todo: expect.stringContaining('memory') });
  expect(of(items, 'pids')).toMatchObject({ level: 'ok', todo: null });
  expect(worstLevel(items)).toBe('warn');
});

it('knows no limit where the host does not say what it has, and refuses nothing for it', () => {
  const items = capacityItems({ memoryMb: 10_000, cpus: 4 }, nothing, pools);
  for (const resource of ['diskFree', 'disk', 'pids', 'inotify', 'neighbours'] as const) {
    expect(of(items, resource)).toMatchObject({ limit: null, share: null, level: 'unknown', todo: null });
  }
  expect(of(items, 'memory')?.limit).toBe(10_000 * CAPACITY_DEFAULTS.overcommit.memory);
  expect(() => requireRoomFor('local', items, placement)).not.toThrow();
  // On cgroup 1 no container has an inotify instance.
  expect(of(capacityItems({ ...host, cgroupVersion: '1' }, nothing, pools), 'inotify')?.limit).toBeNull();
});

it.each<[CapacityResource, Partial<typeof nothing>, Partial<EngineCapacity>, object]>([
  ['memory', { memoryMb: 19_500 }, {}, { used: 19_500, limit: 20_000, needed: 768, unit: 'MiB' }],
  ['cpu', { cpus: 39.5 }, {}, { used: 39.5, limit: 40, needed: 1, unit: 'cores' }],
  ['diskFree', {}, { disk: { totalMb: 102_400, freeMb: 2_400 } }, { used: 100_000, limit: 100_000, needed: 1 }],
  ['disk', { diskGb: 96 }, {}, { used: 96, limit: 100, needed: 5, unit: 'GiB' }],
  ['subnets', { subnets: 100 }, {}, { used: 100, limit: 100, needed: 1 }],
  ['edgePorts', { edgePorts: 150 }, {}, { used: 150, limit: 150, needed: 1 }],
  ['pids', { pids: 32_700 }, {}, { used: 32_700, limit: 32_768, needed: 384 }],
  ['inotify', { containers: 126 }, {}, { used: 126, limit: 128, needed: 3 }],
  ['neighbours', { containers: 339 }, { cgroupVersion: '1' }, { used: 1_017, limit: 1_024, needed: 9 }],
])('refuses what %s has no room for, with the figures and what to do', (resource, use, change, details) => {
  const items = capacityItems({ ...host, ...change }, { ...nothing, ...use }, pools);
  expect(() => requireRoomFor('local', items, placement)).toThrow(
    expect.objectContaining({
      code: 'NO_CAPACITY',
      message: expect.stringMatching(/has no room for it: of its \d+ .* needs \d+ more\. Nothing was changed\./),
      details: expect.objectContaining({ engine: 'local', resource, ...details, todo: expect.any(String) }),
    }),
  );
});

it('asks for what larger limits take more, and for nothing where they give back', () => {
  const smaller = { ...limits, memoryMb: 512, cpus: 2 };
  expect(growthOf(limits, smaller, true)).toEqual({ disk: 0, memory: 0, cpu: 1, pids: 0 });
  expect(growthOf(smaller, { ...limits, diskGb: 20 }, true)).toEqual({ disk: 15, memory: 256, cpu: 0, pids: 0 });
  expect(growthOf(smaller, { ...limits, diskGb: 20 }, false)).toEqual({ disk: 15 });
});

it('lets a stopped stack start on a full disk, where no new one is placed', () => {
  const items = capacityItems({ ...host, disk: { totalMb: 102_400, freeMb: 0 } }, { ...nothing, subnets: 100 }, pools);
  expect(() => requireRoomFor('local', items, runningOf(limits, 3))).not.toThrow();
  expect(() => requireRoomFor('local', items, placement)).toThrow();
});

it('warns at 80 and 95 %', () => {
  expect([0.7999, 0.8, 0.9499, 0.95, 1.2, null].map(capacityLevel)).toEqual([
    'ok',
    'warn',
    'warn',
    'bad',
    'bad',
    'unknown',
  ]);
});
