/** What one container used since it was started, and what it holds now. Times in seconds of one core, sizes in bytes. */
export interface CgroupFigures {
  cpuSeconds: number;
  /** How long it was made to wait because its share of the processor was used up. */
  throttledSeconds: number;
  /** What the limit counts, less page cache the kernel gives back at once when asked (`inactive_file`). */
  memoryBytes: number;
  memoryLimitBytes: number | null;
  oomKills: number;
  pids: number;
}

/** The files of one control group, by name; both versions name what they have below. */
export type CgroupFiles = Readonly<Record<string, string>>;

/** controller/file. The hybrid layout has the same ones. */
export const V1_FILES = [
  'cpuacct/cpuacct.usage',
  'cpu/cpu.stat',
  'memory/memory.usage_in_bytes',
  'memory/memory.stat',
  'memory/memory.limit_in_bytes',
  'memory/memory.oom_control',
  'pids/pids.current',
] as const;

export const V2_FILES = [
  'cpu.stat',
  'memory.current',
  'memory.stat',
  'memory.max',
  'memory.events',
  'pids.current',
] as const;

/** Version 1 writes no limit as the largest multiple of a page below 2^63; no machine has the half of it. */
const V1_UNLIMITED = 2 ** 62;

export function readV1(files: CgroupFiles): CgroupFigures {
  const cpu = keyed(files['cpu/cpu.stat']);
  const limit = number(files['memory/memory.limit_in_bytes'], 'memory.limit_in_bytes');
  return {
    cpuSeconds: number(files['cpuacct/cpuacct.usage'], 'cpuacct.usage') / 1e9,
    throttledSeconds: (cpu.get('throttled_time') ?? 0) / 1e9,
    memoryBytes: working(
      number(files['memory/memory.usage_in_bytes'], 'memory.usage_in_bytes'),
      keyed(files['memory/memory.stat']).get('total_inactive_file'),
    ),
    memoryLimitBytes: limit >= V1_UNLIMITED ? null : limit,
    oomKills: keyed(files['memory/memory.oom_control']).get('oom_kill') ?? 0,
    pids: number(files['pids/pids.current'], 'pids.current'),
  };
}

export function readV2(files: CgroupFiles): CgroupFigures {
  const cpu = keyed(files['cpu.stat']);
  const limit = files['memory.max']?.trim();
  return {
    cpuSeconds: (cpu.get('usage_usec') ?? 0) / 1e6,
    throttledSeconds: (cpu.get('throttled_usec') ?? 0) / 1e6,
    memoryBytes: working(
      number(files['memory.current'], 'memory.current'),
      keyed(files['memory.stat']).get('inactive_file'),
    ),
    memoryLimitBytes: limit === 'max' ? null : number(limit, 'memory.max'),
    oomKills: keyed(files['memory.events']).get('oom_kill') ?? 0,
    pids: number(files['pids.current'], 'pids.current'),
  };
}

/** The two files are not read at one moment, so the cache may be larger than what it is part of. */
const working = (usage: number, inactiveFile = 0): number => Math.max(0, usage - inactiveFile);

function number(text: string | undefined, file: string): number {
  const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) {
    throw new TypeError(`${file} holds no number: ${JSON.stringify(text)}`);
  }
  return value;
}

/** Lines of `name value`; others are not ours. */
function keyed(text = ''): Map<string, number> {
  return new Map(
    text.split('\n').flatMap((line) => {
      const [key = '', value = ''] = line.split(' ');
      return value === '' || !Number.isFinite(Number(value)) ? [] : [[key, Number(value)] as const];
    }),
  );
}

/**
 * The container a control group belongs to, by the group's own name: `<id>` below `docker/` where the engine makes
 * groups itself, `docker-<id>.scope` where systemd does.
 */
export function containerOfGroup(name: string): string | null {
  return /^(?:docker-)?([0-9a-f]{64})(?:\.scope)?$/.exec(name)?.[1] ?? null;
}
