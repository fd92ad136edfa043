import { z } from 'zod';

/**
 * What is promised unless an operator says otherwise. A stack's limits are what it may take, not what it does: idle
 * ones were measured at 66 of 768 MiB. Of a bridge's 1 002 ports half are used; 2 GiB of disk stay free for the host.
 */
export const CAPACITY_DEFAULTS = {
  overcommit: { memory: 4, cpu: 64, disk: 10, pids: 4 },
  diskFloorMb: 2_048,
  edgePorts: 480,
} as const;
/** A Linux bridge stops forwarding near 1 002 ports (moby#44973): no edge may be given more than this. */
export const MOST_EDGE_PORTS = 900;

/** What an engine has, as its agent last saw it, and what of it may be promised. Memory and disk in MiB. */
export const engineCapacitySchema = z.object({
  memoryMb: z.int(),
  cpus: z.number(),
  /** Of the file system the engine's data lies on. */
  disk: z.object({ totalMb: z.int(), freeMb: z.int() }).nullish(),
  /** kernel.pid_max, fs.inotify.max_user_instances and net.ipv4.neigh.default.gc_thresh3; null where it is not told. */
  pidMax: z.int().nullish(),
  inotifyInstances: z.int().nullish(),
  neighbours: z.int().nullish(),
  cgroupVersion: z.string().nullish(),
  /** Settings of the platform: how often each thing may be promised, what stays free, ports of one edge bridge. */
  overcommit: z.object({ memory: z.number(), cpu: z.number(), disk: z.number(), pids: z.number() }).nullish(),
  diskFloorMb: z.int().nullish(),
  edgePorts: z.int().nullish(),
});
export type EngineCapacity = z.infer<typeof engineCapacitySchema>;

/** What runs out on a host, in the order in which a refusal names it. */
export const CAPACITY_RESOURCES = [
  'memory',
  'cpu',
  'diskFree',
  'disk',
  'subnets',
  'edgePorts',
  'pids',
  'inotify',
  'neighbours',
] as const;
export type CapacityResource = (typeof CAPACITY_RESOURCES)[number];

/** ok below 80 %, warn below 95 %, bad from there; unknown where the host does not say what it has. */
export const CAPACITY_LEVELS = ['ok', 'warn', 'bad', 'unknown'] as const;
export type CapacityLevel = (typeof CAPACITY_LEVELS)[number];

export const capacityItemSchema = z.object({
  resource: z.enum(CAPACITY_RESOURCES),
  unit: z.enum(['MiB', 'cores', 'GiB', 'subnets', 'ports', 'processes', 'instances', 'entries']),
  used: z.number(),
  limit: z.number().nullable(),
  /** `used` of `limit`; above 1 where a limit was lowered afterwards. */
  share: z.number().nullable(),
  level: z.enum(CAPACITY_LEVELS),
  /** What makes room, for operators; null while there is enough. */
  todo: z.string().nullable(),
});
export type CapacityItem = z.infer<typeof capacityItemSchema>;

/** GET /api/v1/operator/capacity: every engine, and what of it is promised. */
export const capacityViewSchema = z.object({
  at: z.iso.datetime(),
  engines: z.array(
    z.object({
      engine: z.string(),
      /** When its agent last said what it has. */
      seenAt: z.iso.datetime(),
      level: z.enum(CAPACITY_LEVELS),
      items: z.array(capacityItemSchema),
    }),
  ),
});
export type CapacityView = z.infer<typeof capacityViewSchema>;
