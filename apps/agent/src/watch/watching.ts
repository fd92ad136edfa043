import type { Config } from '#libs/config';
import type { Database } from '#libs/db';
import type { EngineWatch } from '#libs/engine';
import type { Logger } from '#libs/telemetry';
import { forgetWarnings, isHostFull, pruneUsage, SAMPLE_SECONDS } from '#libs/tenants';
import type { DiskGuard } from '../disk-guard.js';
import type { MemoryGuard } from '../memory-guard.js';
import { hostDisk } from '../capacity.js';
import { NOTHING_DUE, Timers } from '../timers.js';
import { HostFiles } from './host-files.js';
import { UsageWatcher, type LastUsage } from './usage-watcher.js';

/** Told a day ahead, and a quarter of an hour's samples of all stacks to read. */
const GROWTH_SECONDS = 15 * 60;
const PRUNE_SECONDS = 3_600;
/** The engine walks all its volumes for one answer; at 500 stacks that is some seconds of its disk. */
const DISK_SECONDS = 15 * 60;
/** While a stack is near the end of its disk: what it writes meanwhile must fit into what is left. */
const DISK_NEAR_SECONDS = 120;
/** While the host has less free than must stay so: somebody fills it for all. */
const DISK_TIGHT_SECONDS = 30;
/** How soon it is seen that one of these has begun. */
const DISK_LOOK_SECONDS = 10;

interface WatchingParts {
  config: Config<'agent'>;
  dataSource: Database;
  /** Where there is none (an engine in memory, which has no processes), nothing is measured. */
  watch: EngineWatch | undefined;
  /** Sees to what was measured of stacks' disks. */
  diskGuard: Pick<DiskGuard, 'turn' | 'heed' | 'near'>;
  memoryGuard: Pick<MemoryGuard, 'turn'>;
  stop: AbortSignal;
  logger: Logger;
}

export interface Watching {
  usage(): LastUsage | null;
  states(): Record<string, boolean>;
  ended(): Promise<void>;
}

/** Measures until `stop` fires, apart from all else: a figure that cannot be read keeps nobody's stack from being made. */
export function startWatching({ config, dataSource, watch, stop, logger, ...guards }: WatchingParts): Watching {
  const timers = new Timers(stop, logger);
  const now = (): Date => new Date();
  const usage =
    watch &&
    new UsageWatcher({
      engine: watch,
      // The root of a container lies on the file system the engine keeps its data on.
      files: new HostFiles({ cgroupDir: config.HOST_CGROUP_DIR, procDir: config.HOST_PROC_DIR, diskPath: '/' }),
      dataSource,
      platformId: config.PLATFORM_ID,
      engineId: config.ENGINE_ID,
      now,
      clock: () => performance.now(),
    });
  if (usage) {
    timers.every('usage', SAMPLE_SECONDS, () => usage.turn(stop));
    let measuredAt = Number.NEGATIVE_INFINITY;
    timers.every('disk use', DISK_LOOK_SECONDS, async () => {
      const tight = isHostFull(await hostDisk(config), false);
      const pace = tight ? DISK_TIGHT_SECONDS : guards.diskGuard.near ? DISK_NEAR_SECONDS : DISK_SECONDS;
      if (performance.now() - measuredAt < pace * 1_000) {
        return NOTHING_DUE;
      }
      measuredAt = performance.now();
      await guards.diskGuard.heed(await usage.measureDisk(stop), stop);
    });
    timers.every('disk limits', SAMPLE_SECONDS, () => guards.diskGuard.turn(stop));
    timers.every('memory growth', GROWTH_SECONDS, () => guards.memoryGuard.turn(stop));
    timers.every('old warnings', PRUNE_SECONDS, () => forgetWarnings(dataSource, now()));
    timers.every('old usage', PRUNE_SECONDS, () => pruneUsage(dataSource, now()));
  }
  return {
    usage: () => usage?.latest ?? null,
    states: () => timers.states(),
    ended: () => timers.ended(),
  };
}
