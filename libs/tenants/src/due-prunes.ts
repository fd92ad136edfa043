import { expiredBackups } from './expired-backups.js';
import {
  AGAIN_SECONDS,
  IS_BUSY,
  MOMENT_HAS_COME,
  MOST_AT_ONCE,
  orderNightly,
  SINCE_HOUR,
  SPREAD_SECONDS,
} from './nightly.js';
import { isRead } from './operation.start.js';
import type { TenantDeps } from './settings.js';

/** Hour of the day from which on backups that are kept no longer go: after the night's new ones. */
const DUE_HOUR = 3;
/** What was not done by then waits for the next night. */
const WINDOW_HOURS = 6;
const HINDERED = `${IS_BUSY} or ${isRead('t')}`;

/** Orders what removes backups that plans keep no longer, once a night for each stack that has any. Returns the slugs. */
export async function orderDuePrunes(
  deps: Pick<TenantDeps, 'dataSource' | 'queue'>,
  { now, zone }: { now: Date; zone: string },
): Promise<string[]> {
  const { dataSource } = deps;
  const due = await dataSource.query<{ id: string }[]>(
    `${SINCE_HOUR}
     select t.id from tenants t, since
      where t.desired <> 'deleted'
        and day + make_interval(hours => $6) > $1
        and ${MOMENT_HAS_COME}
        and not (${HINDERED})
        and not exists (select from operations where tenant_id = t.id and kind = 'prune'
          and (state = 'done' and created_at >= day or created_at > $1::timestamptz - make_interval(secs => $5)))
      order by t.id`,
    [now, zone, DUE_HOUR, SPREAD_SECONDS, AGAIN_SECONDS, WINDOW_HOURS],
  );
  const tenantIds = due.map(({ id }) => id);
  const gone = await expiredBackups(dataSource.manager, { tenantIds, zone, now });
  const ordered: string[] = [];
  // Bounded here and not where they are read: most of those that are due have nothing to lose.
  for (const [tenantId, backups] of Map.groupBy(gone, (backup) => backup.tenantId)) {
    if (ordered.length === MOST_AT_ONCE) {
      break;
    }
    const slug = await orderNightly(deps, {
      tenantId,
      kind: 'prune',
      input: { expired: backups.length },
      now,
      hindered: HINDERED,
      mayBe: ({ desired }) => desired !== 'deleted',
    });
    ordered.push(...(slug === null ? [] : [slug]));
  }
  return ordered;
}
