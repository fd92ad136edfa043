import type { ServiceUse } from '#libs/contracts';
import type { EngineSample, UsageSample } from '#libs/tenants';
import type { ContainerFigures, HostFigures } from './host-files.js';

/** Who a container belongs to, from its labels. */
export interface Place {
  tenantId: string;
  service: string;
}

export interface Look<T> {
  /** Milliseconds of a clock that only goes forward. */
  atMs: number;
  figures: T;
}

type Counters = Pick<ContainerFigures, 'cpuSeconds' | 'traffic'>;

export interface Rates {
  /** Cores, as an average over the time between. */
  cpu: number | null;
  receivedBytes: number | null;
  sentBytes: number | null;
}

/**
 * What was used between two looks. Nothing is said of something seen for the first time: its counters began before
 * anybody looked. A counter that went back began again at 0, with a restart.
 */
export function between(before: Look<Counters> | undefined, after: Look<Counters>): Rates {
  const seconds = before === undefined ? 0 : (after.atMs - before.atMs) / 1_000;
  if (before === undefined || seconds <= 0) {
    return { cpu: null, receivedBytes: null, sentBytes: null };
  }
  const { traffic } = after.figures;
  const earlier = before.figures.traffic;
  const known = traffic !== null && earlier !== null;
  return {
    cpu: grown(before.figures.cpuSeconds, after.figures.cpuSeconds) / seconds,
    receivedBytes: known ? grown(earlier.receivedBytes, traffic.receivedBytes) : null,
    sentBytes: known ? grown(earlier.sentBytes, traffic.sentBytes) : null,
  };
}

const grown = (before: number, after: number): number => (after >= before ? after - before : after);

/** The stacks' samples of one pass. A stack of which a part is not known says so (null) rather than too little. */
export function sampleStacks(
  places: ReadonlyMap<string, Place>,
  before: Look<ReadonlyMap<string, ContainerFigures>> | undefined,
  after: Look<ReadonlyMap<string, ContainerFigures>>,
): Map<string, UsageSample> {
  const samples = new Map<string, UsageSample>();
  for (const [id, figures] of after.figures) {
    const place = places.get(id);
    if (place === undefined) {
      continue;
    }
    const earlier = before?.figures.get(id);
    const rates = between(earlier && before && { atMs: before.atMs, figures: earlier }, { atMs: after.atMs, figures });
    const service: ServiceUse = {
      service: place.service,
      cpu: rates.cpu,
      memoryBytes: figures.memoryBytes,
      memoryLimitBytes: figures.memoryLimitBytes,
      oomKills: figures.oomKills,
      pids: figures.pids,
    };
    const sum = samples.get(place.tenantId) ?? {
      tenantId: place.tenantId,
      cpu: 0,
      memoryBytes: 0,
      receivedBytes: null,
      sentBytes: null,
      diskBytes: null,
      services: [],
    };
    samples.set(place.tenantId, {
      ...sum,
      cpu: sum.cpu === null || rates.cpu === null ? null : sum.cpu + rates.cpu,
      memoryBytes: sum.memoryBytes + figures.memoryBytes,
      // A service without a way out adds nothing and hides nothing.
      receivedBytes: plus(sum.receivedBytes, rates.receivedBytes),
      sentBytes: plus(sum.sentBytes, rates.sentBytes),
      services: [...sum.services, service].toSorted((a, b) => a.service.localeCompare(b.service)),
    });
  }
  return samples;
}

const plus = (sum: number | null, more: number | null): number | null => (more === null ? sum : (sum ?? 0) + more);

export function sampleHost(before: Look<HostFigures> | undefined, after: Look<HostFigures>): EngineSample {
  const { memoryBytes, memoryTotalBytes, diskBytes, diskTotalBytes, cores } = after.figures;
  return { ...between(before, after), cores, memoryBytes, memoryTotalBytes, diskBytes, diskTotalBytes };
}
