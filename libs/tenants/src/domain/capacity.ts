import {
  CAPACITY_DEFAULTS,
  CAPACITY_RESOURCES,
  MOST_EDGE_PORTS,
  DomainError,
  type CapacityItem,
  type CapacityLevel,
  type CapacityResource,
  type EngineCapacity,
  type StackLimits,
} from '#libs/contracts';

/** Shares of a limit at which an operator is warned, and at which the next stack may be the one that is refused. */
const LEVEL = { warn: 0.8, bad: 0.95 };

/** cgroup 2: the shim of every container watches its memory.events (containerd, pkg/oom/v2); nothing on cgroup 1. */
const INOTIFY_PER_CONTAINER = 1;
/**
 * Entries of the kernel's one table, which all namespaces of a host share: a container knows its gateway and its
 * neighbours in the stack, the host knows each container on each of its bridges.
 */
const NEIGHBOURS_PER_CONTAINER = 3;

export type Amounts = Readonly<Partial<Record<CapacityResource, number>>>;

/** What rows say is promised: memory, CPU, processes and containers of stacks that are to run; the rest of all. */
export interface Promised {
  memoryMb: number;
  cpus: number;
  pids: number;
  containers: number;
  diskGb: number;
  subnets: number;
  edgePorts: number;
}

/** How many subnets the pool has, and edge bridges. */
export interface Pools {
  subnets: number;
  edges: number;
}

const UNITS: Record<CapacityResource, CapacityItem['unit']> = {
  memory: 'MiB',
  cpu: 'cores',
  diskFree: 'MiB',
  disk: 'GiB',
  subnets: 'subnets',
  edgePorts: 'ports',
  pids: 'processes',
  inotify: 'instances',
  neighbours: 'entries',
};

const WORDS: Record<CapacityResource, { what: string; todo: string }> = {
  memory: { what: 'memory promised to stacks', todo: 'Stop stacks, add memory, or raise AVIARY_OVERCOMMIT_MEMORY.' },
  cpu: { what: 'CPU promised to stacks', todo: 'Stop stacks, add cores, or raise AVIARY_OVERCOMMIT_CPU.' },
  diskFree: {
    what: 'disk above what must stay free',
    todo: 'Free space or enlarge the disk of the engine; AVIARY_DISK_FLOOR_MB is what must stay free.',
  },
  disk: { what: 'disk promised to stacks', todo: 'Enlarge the disk, or raise AVIARY_OVERCOMMIT_DISK.' },
  subnets: {
    what: 'networks for stacks',
    todo: 'Remove stacks that are no longer needed, or place new ones on another host; a pool is chosen before the first stack.',
  },
  edgePorts: {
    what: 'addresses on edge bridges',
    todo: `Remove stacks, or raise AVIARY_EDGE_PORTS (${MOST_EDGE_PORTS} at most).`,
  },
  pids: {
    what: 'processes promised to stacks',
    todo: 'Raise kernel.pid_max (sysctl -w kernel.pid_max=4194304, and in /etc/sysctl.d), or AVIARY_OVERCOMMIT_PIDS.',
  },
  inotify: {
    what: 'inotify instances of the engine',
    todo: 'Raise fs.inotify.max_user_instances (sysctl -w fs.inotify.max_user_instances=8192, and in /etc/sysctl.d).',
  },
  neighbours: {
    what: 'entries of the kernel’s neighbour table',
    todo: 'Raise net.ipv4.neigh.default.gc_thresh3 to 16384 and gc_thresh2 to 8192 (sysctl -w, and in /etc/sysctl.d).',
  },
};

/** What one more stack of these limits takes of its host. */
export function placementOf(limits: StackLimits, services: { all: number; onEdge: number }): Amounts {
  return {
    ...runningOf(limits, services.all),
    disk: limits.diskGb,
    diskFree: 1,
    subnets: 1,
    edgePorts: services.onEdge,
  };
}

/** What a stack takes while it runs beyond what it takes while it is stopped. */
export function runningOf(limits: StackLimits, containers: number): Amounts {
  return {
    memory: limits.memoryMb,
    cpu: limits.cpus,
    pids: limits.pids,
    inotify: containers * INOTIFY_PER_CONTAINER,
    neighbours: containers * NEIGHBOURS_PER_CONTAINER,
  };
}

/** What other limits take beyond the ones a stack has: what it gives back is no reason to refuse the rest. */
export function growthOf(before: StackLimits, after: StackLimits, runs: boolean): Amounts {
  const more = (of: (limits: StackLimits) => number): number => Math.max(0, of(after) - of(before));
  return {
    disk: more(({ diskGb }) => diskGb),
    ...(runs
      ? { memory: more(({ memoryMb }) => memoryMb), cpu: more(({ cpus }) => cpus), pids: more(({ pids }) => pids) }
      : {}),
  };
}

/** Ports one edge bridge may have. */
export function edgePortsOf(capacity: EngineCapacity): number {
  return capacity.edgePorts ?? CAPACITY_DEFAULTS.edgePorts;
}

function limitsOf(capacity: EngineCapacity, pools: Pools | null): Record<CapacityResource, number | null> {
  const overcommit = capacity.overcommit ?? CAPACITY_DEFAULTS.overcommit;
  const disk = capacity.disk ?? null;
  return {
    memory: Math.floor(capacity.memoryMb * overcommit.memory),
    cpu: capacity.cpus * overcommit.cpu,
    diskFree: disk && Math.max(0, disk.totalMb - (capacity.diskFloorMb ?? CAPACITY_DEFAULTS.diskFloorMb)),
    disk: disk && Math.floor((disk.totalMb / 1_024) * overcommit.disk),
    subnets: pools && pools.subnets,
    edgePorts: pools && pools.edges * edgePortsOf(capacity),
    pids: typeof capacity.pidMax === 'number' ? Math.floor(capacity.pidMax * overcommit.pids) : null,
    inotify: capacity.cgroupVersion === '2' ? (capacity.inotifyInstances ?? null) : null,
    neighbours: capacity.neighbours ?? null,
  };
}

export function capacityLevel(share: number | null): CapacityLevel {
  if (share === null) {
    return 'unknown';
  }
  return share < LEVEL.warn ? 'ok' : share < LEVEL.bad ? 'warn' : 'bad';
}

/** Every resource of one engine: what is promised, what may be, how near that is. Pools where addresses are asked about. */
export function capacityItems(capacity: EngineCapacity, promised: Promised, pools: Pools | null): CapacityItem[] {
  const limits = limitsOf(capacity, pools);
  const used: Record<CapacityResource, number> = {
    memory: promised.memoryMb,
    cpu: Math.round(promised.cpus * 1_000) / 1_000,
    diskFree: capacity.disk ? capacity.disk.totalMb - capacity.disk.freeMb : 0,
    disk: promised.diskGb,
    subnets: promised.subnets,
    edgePorts: promised.edgePorts,
    pids: promised.pids,
    inotify: promised.containers * INOTIFY_PER_CONTAINER,
    neighbours: promised.containers * NEIGHBOURS_PER_CONTAINER,
  };
  return CAPACITY_RESOURCES.map((resource) => {
    const limit = limits[resource];
    const share = limit === null ? null : limit > 0 ? Math.round((used[resource] / limit) * 10_000) / 10_000 : 1;
    const level = capacityLevel(share);
    return {
      resource,
      unit: UNITS[resource],
      used: used[resource],
      limit,
      share,
      level,
      todo: level === 'warn' || level === 'bad' ? WORDS[resource].todo : null,
    };
  });
}

/** What an operator is told of a resource that runs out; null while there is enough of it, or nothing is known. */
export function capacityWarning({ resource, unit, used, limit, share, level, todo }: CapacityItem): string | null {
  if ((level !== 'warn' && level !== 'bad') || share === null) {
    return null;
  }
  const most = level === 'bad' ? 'Soon no stack can be placed here.' : '';
  return [
    `Of ${limit} ${unit} of ${WORDS[resource].what} ${used} are taken (${Math.floor(share * 100)} %).`,
    most,
    todo,
  ]
    .filter(Boolean)
    .join(' ');
}

/** The worst of them; unknown only where nothing is known. */
export function worstLevel(items: readonly Pick<CapacityItem, 'level'>[]): CapacityLevel {
  return (['bad', 'warn', 'ok'] as const).find((level) => items.some((item) => item.level === level)) ?? 'unknown';
}

/**
 * Throws NO_CAPACITY for the first resource that has no room for `needed`. Details: engine, resource, unit, used,
 * limit, needed, todo (for operators).
 */
export function requireRoomFor(engine: string, items: readonly CapacityItem[], needed: Amounts): void {
  for (const { resource, unit, used, limit } of items) {
    const more = needed[resource] ?? 0;
    if (more > 0 && limit !== null && used + more > limit) {
      const { what, todo } = WORDS[resource];
      throw new DomainError('NO_CAPACITY', {
        message: `This host has no room for it: of its ${limit} ${unit} of ${what} ${used} are taken, and this needs ${more} more. Nothing was changed. Try again later, or ask your operator.`,
        details: { engine, resource, unit, used, limit, needed: more, todo },
      });
    }
  }
}
