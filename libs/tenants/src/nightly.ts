import type { Actor } from '#libs/contracts';
import { TenantEntity, tx } from '#libs/db';
import { startOperation } from './operation.start.js';
import { awaitsRecovery } from './recovering.js';
import type { TenantDeps } from './settings.js';

const CLOCK: Actor = { kind: 'system', name: 'schedule' };
/** Spread over this long, each stack at its own moment: they share disks and the way to the store. */
export const SPREAD_SECONDS = 3_600;
/** Of a kind, by one look: what else is due waits for the next, five minutes later. */
export const MOST_AT_ONCE = 100;
/** One that failed or was cut short is tried again. */
export const AGAIN_SECONDS = 1_800;

/** Gives `since.day`: the newest moment at which it was that hour ($3) in the zone ($2), as of $1. */
export const SINCE_HOUR = `with since as (
  select (date_trunc('day', ($1::timestamptz at time zone $2) - make_interval(hours => $3)) + make_interval(hours => $3))
           at time zone $2 as day)`;
/** Of a stack `t`: its own moment in the spread ($4) has come. */
export const MOMENT_HAS_COME = `day + make_interval(secs => ('x' || substr(md5(t.id::text), 1, 8))::bit(32)::bigint % $4) <= $1`;
/** Of a stack `t`. */
export const IS_BUSY = `(exists (select from operations where tenant_id = t.id and state in ('queued', 'running')) or ${awaitsRecovery('t')})`;

interface NightlyOrder {
  tenantId: string;
  kind: 'backup' | 'prune';
  input: Record<string, unknown>;
  now: Date;
  /** What came between has the way: SQL of a stack `t` that keeps it from being ordered, and what its row must say. */
  hindered: string;
  mayBe: (tenant: TenantEntity) => boolean;
}

/** Orders it in the order of everybody, the stack's row first. Gives the slug, or null where it may not be any more. */
export function orderNightly(
  { dataSource, queue }: Pick<TenantDeps, 'dataSource' | 'queue'>,
  { tenantId, kind, input, now, hindered, mayBe }: NightlyOrder,
): Promise<string | null> {
  return tx(dataSource, async (db) => {
    await db.query('select from tenants where id = $1 for update', [tenantId]);
    const tenant = await db.findOneBy(TenantEntity, { id: tenantId });
    const against = await db.query<unknown[]>(`select from tenants t where id = $1 and (${hindered})`, [tenantId]);
    if (!tenant || !mayBe(tenant) || against.length > 0) {
      return null;
    }
    await startOperation(db, queue, { tenant, kind, actor: CLOCK, now, input: { reason: 'schedule', ...input } });
    return tenant.slug;
  });
}
