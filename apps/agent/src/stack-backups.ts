import { Repositories, ResticBackups, RETENTION } from '#libs/backup';
import type { Config } from '#libs/config';
import type { Database } from '#libs/db';
import type { StackBackups } from '#libs/orchestrator';
import { backupPlaces } from './backup-places.js';
import { hostRoom } from './capacity.js';

interface Parts {
  config: Config<'agent'>;
  dataSource: Database;
  now: () => Date;
}

/** Backups of this host's stacks, where its settings say. */
export function stackBackups({ config, dataSource, now }: Parts): StackBackups {
  const masterKey = Buffer.from(config.MASTER_KEY, 'base64');
  const repositories = new Repositories(dataSource, { places: backupPlaces(config), masterKey });
  const room = async (): Promise<{ freeMb: number; floorMb: number }> => {
    const { disk } = await hostRoom();
    return { freeMb: disk.freeMb, floorMb: config.DISK_FLOOR_MB };
  };
  return new ResticBackups({ dataSource, repositories, retention: RETENTION, zone: 'UTC', room, now });
}
