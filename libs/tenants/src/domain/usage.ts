import type { MemoryGrowth, ServiceUse, UsageAlert } from '#libs/contracts';

const WARN_PERCENT = 80;
const BAD_PERCENT = 95;

export interface UsageLimits {
  cpus: number;
  memoryBytes: number;
  diskBytes: number;
}

interface Use {
  cpu: number | null;
  memoryBytes: number;
  diskBytes: number | null;
}

/** What is near its limit, worst first. */
export function usageAlerts(use: Use, limits: UsageLimits, services: readonly ServiceUse[] = []): UsageAlert[] {
  const held: { resource: UsageAlert['resource']; used: number | null; of: number | null; service: string | null }[] = [
    { resource: 'cpu', used: use.cpu, of: limits.cpus, service: null },
    { resource: 'memory', used: use.memoryBytes, of: limits.memoryBytes, service: null },
    { resource: 'disk', used: use.diskBytes, of: limits.diskBytes, service: null },
    ...services.map(({ service, memoryBytes, memoryLimitBytes }) => ({
      resource: 'memory' as const,
      used: memoryBytes,
      of: memoryLimitBytes,
      service,
    })),
  ];
  return held
    .flatMap(({ resource, used, of, service }): UsageAlert[] => {
      if (used === null || of === null || of <= 0) {
        return [];
      }
      // Downwards: 94.9 % is not yet the limit's 95 %.
      const percent = Math.floor((used / of) * 100);
      return percent < WARN_PERCENT
        ? []
        : [{ resource, level: percent >= BAD_PERCENT ? 'bad' : 'warn', percent, service }];
    })
    .toSorted((a, b) => b.percent - a.percent);
}

export interface MemorySample {
  /** Milliseconds since 1970. */
  at: number;
  bytes: number;
}

const HOUR_MS = 3_600_000;
/** Less says nothing: a process that has just started fills its caches. */
const LEAST_HOURS = 2;
const LEAST_SAMPLES = 30;
/** A limit that is a day away is worth a word; one that is a month away is not. */
const WITHIN_HOURS = 24;
/** How much of the movement the straight line must explain. A saw tooth, as of a garbage collector, has far less. */
const STEADY = 0.8;

/**
 * Whether memory grows steadily towards its limit, by a least-squares line through the samples. Null where it does
 * not, where there are too few samples to say, or where the limit is more than a day away.
 */
export function memoryGrowth(
  service: string,
  samples: readonly MemorySample[],
  limitBytes: number | null,
): MemoryGrowth | null {
  const [first, last] = [samples[0], samples.at(-1)];
  if (limitBytes === null || first === undefined || last === undefined || samples.length < LEAST_SAMPLES) {
    return null;
  }
  if (last.at - first.at < LEAST_HOURS * HOUR_MS) {
    return null;
  }
  const n = samples.length;
  const meanAt = samples.reduce((sum, { at }) => sum + (at - first.at), 0) / n;
  const meanBytes = samples.reduce((sum, { bytes }) => sum + bytes, 0) / n;
  let together = 0;
  let alone = 0;
  let spread = 0;
  for (const { at, bytes } of samples) {
    const dt = at - first.at - meanAt;
    const db = bytes - meanBytes;
    together += dt * db;
    alone += dt * dt;
    spread += db * db;
  }
  const slope = together / alone;
  const explained = spread === 0 ? 0 : (together * together) / (alone * spread);
  if (slope <= 0 || explained < STEADY) {
    return null;
  }
  const bytesPerHour = slope * HOUR_MS;
  const hoursLeft = Math.max(0, (limitBytes - last.bytes) / bytesPerHour);
  return hoursLeft > WITHIN_HOURS
    ? null
    : { service, bytesPerHour: Math.round(bytesPerHour), hoursLeft: Math.round(hoursLeft * 10) / 10 };
}
