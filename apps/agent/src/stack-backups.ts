import {
  BackupExports,
  Repositories,
  RepositoryPasswords,
  ResticBackups,
  StackCounts,
  type FenceGuard,
} from '#libs/backup';
import type { Config } from '#libs/config';
import type { Database } from '#libs/db';
import type { EngineStreams } from '#libs/engine';
import type { DataKeys } from '#libs/keys';
import type { StackBackups } from '#libs/orchestrator';
import { removeCheckCaches } from '#libs/restic';
import { backupPlaces } from './backup-places.js';
import { hostDisk } from './capacity.js';

interface Parts {
  config: Config<'agent'>;
  dataSource: Database;
  streams: EngineStreams;
  keys: DataKeys;
  fence: FenceGuard;
  now: () => Date;
}

/**
 * Backups of this host's stacks, where its settings say, their way out of it, and what a restore would lose. What an
 * agent that died left of its checks goes here, while nothing is begun yet.
 */
export async function stackBackups({ config, dataSource, streams, keys, fence, now }: Parts): Promise<{
  backups: StackBackups;
  exports: BackupExports;
  passwords: RepositoryPasswords;
  counts: StackCounts;
}> {
  await removeCheckCaches(config.RESTIC_CACHE_DIR);
  const repositories = new Repositories(dataSource, { places: backupPlaces(config), keys });
  const room = () => hostDisk(config);
  return {
    backups: new ResticBackups({ dataSource, repositories, zone: config.TIME_ZONE, room, fence, now }),
    exports: new BackupExports({ dataSource, repositories, now }),
    passwords: new RepositoryPasswords({ dataSource, repositories, now }),
    counts: new StackCounts({
      dataSource,
      streams,
      platformId: config.PLATFORM_ID,
      engineId: config.ENGINE_ID,
    }),
  };
}
