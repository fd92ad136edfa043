import type { EntityManager } from 'typeorm';
import type { BackupReason, BackupState } from '#libs/contracts';
import { expired, isHeldForSafety, retentionOf } from './domain/retention.js';

export interface ExpiredBackup {
  id: string;
  tenantId: string;
  slug: string;
  /** Of when its data is; where it never had any, when it was begun. */
  at: Date;
  state: BackupState;
  reason: BackupReason;
  /** By which the repository grew for it. */
  addedBytes: number;
}

interface Row extends ExpiredBackup {
  takenAt: Date | null;
  inUse: boolean;
  daily: number;
  weekly: number;
  monthly: number;
}

/**
 * What the plans of the stacks' owners keep no longer, of those stacks or of all. Held is what is under way, what is
 * being put back anywhere at the moment, what the newest backup of the portal knows as the stack's newest (were the
 * host lost now, no newer one would be found), and for a week what was taken before a restore or an upgrade.
 */
export async function expiredBackups(
  db: EntityManager,
  { tenantIds, zone, now }: { tenantIds: readonly string[] | null; zone: string; now: Date },
): Promise<ExpiredBackup[]> {
  const rows = await db.query<Row[]>(
    `select b.id, b.tenant_id as "tenantId", t.slug, coalesce(b.taken_at, b.begun_at) as at, b.taken_at as "takenAt", b.state, b.reason,
            coalesce((select sum((part ->> 'addedBytes')::bigint) from jsonb_array_elements(b.parts) part), 0)::float8 as "addedBytes",
            exists (select from operations o where o.state in ('queued', 'running')
              and (o.id = b.operation_id or o.input ->> 'backup' = b.id::text)) or coalesce(b.id = known.id, false) as "inUse",
            p.keep_daily as daily, p.keep_weekly as weekly, p.keep_monthly as monthly
       from backups b join tenants t on t.id = b.tenant_id join accounts a on a.id = t.account_id
            join plans p on p.id = a.plan_id
            left join lateral (select k.id from backups k
              where k.tenant_id = t.id and k.state = 'verified'
                and k.verified_at <= (select max(taken_at) from portal_backups where state = 'verified')
              order by k.taken_at desc limit 1) known on true
      where t.desired <> 'deleted' and ($1::uuid[] is null or t.id = any($1))
      order by t.slug, b.id`,
    [tenantIds],
  );
  return [...Map.groupBy(rows, ({ tenantId }) => tenantId).values()].flatMap((backups) => {
    const [first] = backups;
    const known = backups.map(({ id, at, state, reason, takenAt, inUse }) => ({
      id,
      takenAt: at,
      // One that is being taken is held; one that nobody goes on with came to nothing.
      state: state === 'taking' ? ('failed' as const) : state,
      held: inUse || isHeldForSafety({ reason, takenAt }, now),
    }));
    const gone = new Set(first === undefined ? [] : expired(known, retentionOf(first), zone, now));
    return backups
      .filter(({ id }) => gone.has(id))
      .map(({ id, tenantId, slug, at, state, reason, addedBytes }) => ({
        id,
        tenantId,
        slug,
        at,
        state,
        reason,
        addedBytes,
      }));
  });
}
