import type { Engine } from '#libs/engine';
import { DutyWatch } from '#libs/jobs';
import { beat } from './heartbeat.js';
import { reviveOwn } from './own-containers.js';
import { portalBackupTurn, type PortalBackupParts } from './portal-backups.js';
import { PortalWatch } from './portal-watch.js';
import type { Timers } from './timers.js';

const MINUTE = 60;
/** While none of its gates answers nobody gets into a dashboard. */
const AGAIN_SECONDS = 20;
/** While nothing is known of recurring work nothing is sent; a watchdog waits since the last word. */
const HEARTBEAT_AGAIN_SECONDS = 5;
/** Somebody who asked for a backup waits before a terminal. */
const BACKUP_SECONDS = 5;
/** To write, store and prove a large database takes hours, at the pace of a disk or a network. */
const LONGEST_BACKUP_MS = 12 * 3_600_000;

interface KeepingDeps extends PortalBackupParts {
  /** Guarded by the lease. */
  upkeep: Engine;
}

/**
 * What the active agent does for the portal itself: its containers that died or hang, its own backups, and whether its
 * recurring work is done, which a watchdog outside is told. Gives what is known of that work.
 */
export function keepPortal(timers: Timers, deps: KeepingDeps): DutyWatch {
  const { config, dataSource, upkeep, logger, now } = deps;
  const watch = new PortalWatch({
    dataSource,
    engine: upkeep,
    platformId: config.PLATFORM_ID,
    engineId: config.ENGINE_ID,
    urls: { gate: config.GATE_URLS, api: config.API_URLS },
    leavingUrls: config.API_PRIVATE_URLS,
    logger,
    now,
  });
  const duties = new DutyWatch({ database: dataSource, logger, now });
  const backup = portalBackupTurn(deps);
  timers.every('own containers', MINUTE, () => reviveOwn(upkeep, config.PLATFORM_ID, logger));
  timers.every(
    'portal',
    () => (watch.doubts ? AGAIN_SECONDS : MINUTE),
    () => watch.turn(),
  );
  timers.beside('portal backup', { seconds: BACKUP_SECONDS, longestMs: LONGEST_BACKUP_MS }, backup);
  timers.every('duties', MINUTE, () => duties.turn());
  const { HEARTBEAT_URL: watchdog } = config;
  if (watchdog !== '') {
    timers.every(
      'heartbeat',
      () => (duties.known ? MINUTE : HEARTBEAT_AGAIN_SECONDS),
      () => beat(watchdog, duties),
    );
  }
  return duties;
}
