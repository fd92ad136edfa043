import type { Database } from '#libs/db';
import type { Finding } from '#libs/jobs';

const HOUR_SECONDS = 3_600;
/** Another night without one: it does not mend itself. */
const CRITICAL_AFTER_HOURS = 24;

export interface BackupAge {
  slug: string;
  /** Until when its newest verified backup holds what it had; null where it has none. */
  takenAt: Date | null;
  /** Seconds for which what it did is in no verified backup. */
  seconds: number;
  /** For how long its plan allows that. */
  maxAgeHours: number;
  /** Why the newest one that ended did not come to count; null where it did or none ended. */
  failure: string | null;
}

/** Of each stack that runs; what rests does not change. The oldest first. */
export async function backupAges(database: Database, now: Date): Promise<BackupAge[]> {
  const rows = await database.query<(Omit<BackupAge, 'seconds'> & { seconds: string })[]>(
    `select t.slug, good.taken_at as "takenAt", ended.message as failure, p.backup_max_age_hours as "maxAgeHours",
            extract(epoch from $1::timestamptz - greatest(t.created_at, good.taken_at, woken.at)) as seconds
       from tenants t join accounts a on a.id = t.account_id join plans p on p.id = a.plan_id
       left join lateral (select max(greatest(taken_at, same_until)) as taken_at from backups
         where tenant_id = t.id and state = 'verified') good on true
       left join lateral (select error ->> 'message' as message from backups
         where tenant_id = t.id and (state in ('verified', 'failed') or error is not null)
           and coalesce(error ->> 'code', '') <> 'OPERATION_CANCELLED'
         order by id desc limit 1) ended on true
       left join lateral (select max(finished_at) as at from operations
         where tenant_id = t.id and state = 'done' and kind in ('start', 'wake', 'resume')) woken on true
      where t.desired = 'running' and t.observed = 'running'
        and not exists (select from holds where tenant_id = t.id)
      order by seconds desc`,
    [now],
  );
  return rows.map(({ seconds, ...row }) => ({ ...row, seconds: Math.max(0, Number(seconds)) }));
}

/** What operators are to know of stacks whose work has been in no verified backup for longer than their plans allow. */
export function overdueBackups(ages: readonly BackupAge[]): Finding[] {
  return ages
    .filter(({ seconds, maxAgeHours }) => seconds > maxAgeHours * HOUR_SECONDS)
    .map(({ slug, takenAt, seconds, maxAgeHours, failure }) => {
      const hours = Math.floor(seconds / HOUR_SECONDS);
      const since = takenAt === null ? 'It has none.' : `Its newest is of ${takenAt.toISOString()}.`;
      const why = failure === null ? '' : ` The last try: ${failure}`;
      return {
        key: `backup/${slug}`,
        code: 'BACKUP_OVERDUE' as const,
        severity:
          seconds > (maxAgeHours + CRITICAL_AFTER_HOURS) * HOUR_SECONDS ? ('critical' as const) : ('warning' as const),
        message: `${slug} has run for ${hours} hours without a verified backup; its plan allows ${maxAgeHours}. ${since}${why} See aviary backup list ${slug}, or try it: aviary backup take ${slug}`,
        params: { stack: slug, hours, maxAgeHours, takenAt: takenAt?.toISOString() ?? null, failure },
      };
    });
}
