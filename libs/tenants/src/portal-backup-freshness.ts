import { IsNull, Not } from 'typeorm';
import { PlatformEntity, PortalBackupEntity, type Database } from '#libs/db';
import type { Finding } from '#libs/jobs';

/** A second night without one: it does not mend itself. */
const CRITICAL_MS = 86_400_000;

export interface PortalBackupRules {
  /** After so many hours without a verified one operators are told. */
  overdueHours: number;
}

export interface PortalBackupAge {
  /** Of when the newest verified one is; null where there is none. */
  takenAt: Date | null;
  /** Seconds for which what the portal did is in no verified one. */
  seconds: number;
  /** Why the newest that ended did not come to count; null where it did or none ended. */
  failure: string | null;
}

/** How old what would come back is. A platform that was never backed up is as old as it is. */
export async function portalBackupAge(database: Database, now: Date): Promise<PortalBackupAge> {
  const { manager } = database;
  const platform = await manager.findOneBy(PlatformEntity, { singleton: true });
  const [newest] = await manager.find(PortalBackupEntity, {
    where: { state: 'verified', takenAt: Not(IsNull()) },
    order: { takenAt: 'DESC' },
    take: 1,
  });
  const [ended] = await manager.find(PortalBackupEntity, {
    where: [{ state: 'verified' }, { state: 'failed' }],
    order: { id: 'DESC' },
    take: 1,
  });
  const since = newest?.takenAt ?? platform?.createdAt ?? now;
  return {
    takenAt: newest?.takenAt ?? null,
    seconds: Math.max(0, (now.getTime() - since.getTime()) / 1_000),
    failure: ended?.state === 'failed' ? (ended.error?.message ?? null) : null,
  };
}

/** What operators are to know of the portal's own backups. */
export async function portalBackupFindings(
  database: Database,
  { overdueHours }: PortalBackupRules,
  now: Date,
): Promise<Finding[]> {
  const { takenAt, seconds, failure } = await portalBackupAge(database, now);
  if (seconds <= overdueHours * 3_600) {
    return [];
  }
  const hours = Math.floor(seconds / 3_600);
  const since = takenAt === null ? 'There is none.' : `The newest is of ${takenAt.toISOString()}.`;
  const why = failure === null ? '' : ` The last try: ${failure}`;
  return [
    {
      key: 'portal-backup/overdue',
      code: 'PORTAL_BACKUP_OVERDUE',
      severity: seconds * 1_000 > overdueHours * 3_600_000 + CRITICAL_MS ? 'critical' : 'warning',
      message: `The portal's own database has had no verified backup for ${hours} hours: were this host lost, what customers did on the portal since would be too. ${since}${why} See aviary portal backups, or try it: aviary portal backup`,
      params: { hours, takenAt: takenAt?.toISOString() ?? null, failure },
    },
  ];
}
