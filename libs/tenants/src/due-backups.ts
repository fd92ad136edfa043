import type { Actor } from '#libs/contracts';
import { TenantEntity, tx } from '#libs/db';
import { startOperation } from './operation.start.js';
import type { TenantDeps } from './settings.js';

const CLOCK: Actor = { kind: 'system', name: 'schedule' };
/** Hour of the day from which on a stack's backup of that day is due. */
const DUE_HOUR = 2;
/** Spread over this long, each stack at its own moment: they share disks and the way to the store. */
const SPREAD_SECONDS = 3_600;
/** One that failed or was cut short is tried again. */
const AGAIN_SECONDS = 1_800;
const MOST_AT_ONCE = 100;

/**
 * Orders the day's backup of each stack that runs and has none since the hour it was due in the zone. What rests cannot
 * change and needs none; what was made since is due the next day. Returns the slugs.
 */
export async function orderDueBackups(
  { dataSource, queue }: Pick<TenantDeps, 'dataSource' | 'queue'>,
  { now, zone }: { now: Date; zone: string },
): Promise<string[]> {
  const due = await dataSource.query<{ id: string }[]>(
    `with since as (
       select (date_trunc('day', ($1::timestamptz at time zone $2) - make_interval(hours => $3)) + make_interval(hours => $3))
                at time zone $2 as day)
     select t.id from tenants t, since
      where t.desired = 'running' and t.observed = 'running'
        and t.created_at < day
        and not exists (select from holds where tenant_id = t.id)
        and not exists (select from operations where tenant_id = t.id and state in ('queued', 'running'))
        and day + make_interval(secs => ('x' || substr(md5(t.id::text), 1, 8))::bit(32)::bigint % $4) <= $1
        and not exists (select from backups where tenant_id = t.id and state = 'verified' and begun_at >= day)
        and not exists (select from backups where tenant_id = t.id and begun_at > $1::timestamptz - make_interval(secs => $5))
      order by (select max(verified_at) from backups where tenant_id = t.id) nulls first, t.id
      limit ${MOST_AT_ONCE}`,
    [now, zone, DUE_HOUR, SPREAD_SECONDS, AGAIN_SECONDS],
  );
  const ordered: string[] = [];
  for (const { id } of due) {
    const slug = await tx(dataSource, async (db) => {
      // In the order of everybody: the stack's row first. What came between has the way.
      await db.query('select from tenants where id = $1 for update', [id]);
      const tenant = await db.findOneBy(TenantEntity, { id });
      const open = await db.query<unknown[]>(
        `select from operations where tenant_id = $1 and state in ('queued', 'running')`,
        [id],
      );
      if (tenant?.desired !== 'running' || open.length > 0) {
        return null;
      }
      const input = { reason: 'schedule' };
      await startOperation(db, queue, { tenant, kind: 'backup', actor: CLOCK, now, input });
      return tenant.slug;
    });
    ordered.push(...(slug === null ? [] : [slug]));
  }
  return ordered;
}
