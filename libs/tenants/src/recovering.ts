import { MoreThanOrEqual, type EntityManager } from 'typeorm';
import { DomainError, type OperationKind } from '#libs/contracts';
import { OperationEntity, RecoveryEntity, type TenantEntity } from '#libs/db';

/** Of a statement: the newest recovery. Two times may be of two machines' clocks. */
const NEWEST = 'select id from recoveries order by ordinal desc, recovered_at desc limit 1';

/**
 * In a statement: whether the platform was recovered and it is not decided yet what of the stack `alias` is put back.
 * Its data may not be here, or be newer than its row knows. Which stacks came with the portal's backup is told by the
 * later of two moments, since they are of two clocks.
 */
export const awaitsRecovery = (alias: string): string =>
  `exists (select from recoveries r
            where r.ordered_at is null and r.id = (${NEWEST}) and ${alias}.created_at <= greatest(r.taken_at, r.recovered_at)
              and not exists (select from recovery_stacks s
                               where s.recovery_id = r.id and s.tenant_id = ${alias}.id and s.decided_at is not null))`;

export function newestRecovery(db: EntityManager): Promise<RecoveryEntity | null> {
  return db.findOne(RecoveryEntity, { where: {}, order: { ordinal: 'DESC', recoveredAt: 'DESC' } });
}

export async function isAwaited(db: EntityManager, tenantId: string): Promise<boolean> {
  const rows = await db.query<unknown[]>(`select from tenants t where id = $1 and ${awaitsRecovery('t')}`, [tenantId]);
  return rows.length > 0;
}

/** The newest restore that came to its end since, by id: where nothing is decided yet, a person asked for it. */
export async function restoredSince(
  db: EntityManager,
  { tenantId, recoveredAt }: { tenantId: string; recoveredAt: Date },
): Promise<string | null> {
  const restore = await db.findOne(OperationEntity, {
    where: { tenantId, kind: 'restore', state: 'done', createdAt: MoreThanOrEqual(recoveredAt) },
    order: { createdAt: 'DESC' },
  });
  return restore?.id ?? null;
}

/** What neither works with the stack's data nor takes any of its backups away without the whole stack, or brings it back. */
const BEFORE_DECIDED: readonly OperationKind[] = ['restore', 'destroy', 'stop', 'suspend'];

/** Throws TENANT_BUSY for what would find no data, or other data than the portal knows of. */
export async function requireDecided(
  db: EntityManager,
  { id, slug }: TenantEntity,
  kind: OperationKind,
): Promise<void> {
  if (!BEFORE_DECIDED.includes(kind) && (await isAwaited(db, id))) {
    throw new DomainError('TENANT_BUSY', {
      message: `The platform was recovered, and what is put back of ${slug} is not decided yet. Try again in a while; operators see why with: aviary portal recovery`,
      details: { kind: 'recovery' },
    });
  }
}
