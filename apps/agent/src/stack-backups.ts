import { BackupExports, Repositories, ResticBackups, type FenceGuard } from '#libs/backup';
import type { Config } from '#libs/config';
import type { Database } from '#libs/db';
import type { DataKeys } from '#libs/keys';
import type { StackBackups } from '#libs/orchestrator';
import { backupPlaces } from './backup-places.js';
import { hostDisk } from './capacity.js';

interface Parts {
  config: Config<'agent'>;
  dataSource: Database;
  keys: DataKeys;
  fence: FenceGuard;
  now: () => Date;
}

/** Backups of this host's stacks, where its settings say, and their way out of it. */
export function stackBackups({ config, dataSource, keys, fence, now }: Parts): {
  backups: StackBackups;
  exports: BackupExports;
} {
  const repositories = new Repositories(dataSource, { places: backupPlaces(config), keys });
  const room = () => hostDisk(config);
  return {
    backups: new ResticBackups({ dataSource, repositories, zone: config.TIME_ZONE, room, fence, now }),
    exports: new BackupExports({ dataSource, repositories, now }),
  };
}
