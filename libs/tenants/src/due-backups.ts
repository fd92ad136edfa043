import {
  AGAIN_SECONDS,
  IS_BUSY,
  MOMENT_HAS_COME,
  MOST_AT_ONCE,
  orderNightly,
  SINCE_HOUR,
  SPREAD_SECONDS,
} from './nightly.js';
import type { TenantDeps } from './settings.js';

/** Hour of the day from which on a stack's backup of that day is due. */
const DUE_HOUR = 2;

/**
 * Orders the day's backup of each stack that runs, has none since the hour it was due in the zone, and was not seen
 * unchanged since then. What rests cannot change and needs none; what was made since is due the next day. Returns the
 * slugs.
 */
export async function orderDueBackups(
  deps: Pick<TenantDeps, 'dataSource' | 'queue'>,
  { now, zone }: { now: Date; zone: string },
): Promise<string[]> {
  const due = await deps.dataSource.query<{ id: string }[]>(
    `${SINCE_HOUR}
     select t.id from tenants t, since
      where t.desired = 'running' and t.observed = 'running'
        and t.created_at < day
        and not exists (select from holds where tenant_id = t.id)
        and not ${IS_BUSY}
        and ${MOMENT_HAS_COME}
        and not exists (select from backups where tenant_id = t.id and state = 'verified' and greatest(begun_at, same_until) >= day)
        and not exists (select from backups where tenant_id = t.id and begun_at > $1::timestamptz - make_interval(secs => $5))
      order by (select max(verified_at) from backups where tenant_id = t.id) nulls first, t.id
      limit ${MOST_AT_ONCE}`,
    [now, zone, DUE_HOUR, SPREAD_SECONDS, AGAIN_SECONDS],
  );
  const ordered: string[] = [];
  for (const { id: tenantId } of due) {
    const slug = await orderNightly(deps, {
      tenantId,
      kind: 'backup',
      input: {},
      now,
      hindered: IS_BUSY,
      mayBe: ({ desired }) => desired === 'running',
    });
    ordered.push(...(slug === null ? [] : [slug]));
  }
  return ordered;
}
