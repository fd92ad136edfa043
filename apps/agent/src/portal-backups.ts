import { PortalBackups, PortalRepository, type FenceGuard } from '#libs/backup';
import type { Config } from '#libs/config';
import type { Database } from '#libs/db';
import type { Engine, EngineStreams } from '#libs/engine';
import type { DataKeys, MasterKeys } from '#libs/keys';
import type { EngineLease } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { orderForPlace } from '#libs/tenants';
import { z } from 'zod';
import { backupPlaces } from './backup-places.js';
import { hostRoom } from './capacity.js';
import { portalServer } from './portal-database.js';

const LOOK_MS = 20_000;

export function portalRepository(config: Config<'agent'>, masters: MasterKeys): PortalRepository {
  return new PortalRepository({ places: backupPlaces(config), masters });
}

export interface PortalBackupParts {
  config: Config<'agent'>;
  dataSource: Database;
  /** Not guarded: a backup proves the lease itself. */
  engine: Engine;
  streams: EngineStreams;
  keys: DataKeys;
  portal: PortalRepository;
  lease: EngineLease;
  fence: FenceGuard;
  logger: Logger;
  now: () => Date;
}

/** As `serviceFiles` writes it. */
const setUpSchema = z.object({
  settings: z.record(z.string(), z.string()).default({}),
  secrets: z.array(z.string()).default([]),
});

/**
 * One look whether a backup of the portal is asked for, and all the work on it; it asks for one itself where backups go to
 * another place than before. Of an engine without the portal's database nothing is. What it throws is over once a look
 * went well: what a backup failed of stands in its row.
 */
export function portalBackupTurn(parts: PortalBackupParts): (stop: AbortSignal) => Promise<void> {
  const { config, dataSource, engine, streams, keys, portal, lease, fence, logger, now } = parts;
  const server = portalServer(config.PLATFORM_ID, streams);
  const setUp = setUpSchema.parse(JSON.parse(config.HOST_SETTINGS));
  const backups = new PortalBackups({
    database: dataSource,
    server,
    repository: portal,
    masters: keys.masters,
    platformId: config.PLATFORM_ID,
    image: config.TOOLS_IMAGE,
    ...setUp,
    zone: config.TIME_ZONE,
    room: async () => ({ freeMb: (await hostRoom()).disk.freeMb, floorMb: config.DISK_FLOOR_MB }),
    prove: async (how) => {
      await lease.prove();
      await fence.prove(how);
    },
    logger,
    now,
  });
  const isHere = async (stop: AbortSignal): Promise<boolean> => {
    const { containers } = await engine.observe(server.place.owner, { deadlineMs: LOOK_MS, signal: stop });
    return containers.some(({ name }) => name === server.place.container);
  };
  const place = setUp.settings['AVIARY_BACKUP_URL'] ?? '';
  // Another place comes with another process.
  let inPlace = false;
  return async (stop) => {
    if (!inPlace) {
      inPlace = !(await isHere(stop)) || (await orderForPlace(dataSource, { place, now: now() }));
    }
    if ((await backups.open()) && (await isHere(stop))) {
      await backups.turn(stop);
    }
  };
}
