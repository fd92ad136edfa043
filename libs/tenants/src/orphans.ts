import { In, LessThan } from 'typeorm';
import { OperationEntity, OrphanEntity, TenantEntity, tx, type Database } from '#libs/db';

/** An object on an engine whose labels name a stack that does not want it. */
export type Unwanted = Pick<OrphanEntity, 'kind' | 'name' | 'tenantId'>;

const HOUR_MS = 3_600_000;
const keyOf = ({ kind, name }: Pick<OrphanEntity, 'kind' | 'name'>): string => `${kind} ${name}`;

/**
 * Makes the list of an engine's orphans what was found: new ones come to it, those found again keep the time they
 * were first seen, the others leave it. Objects of a stack that something is at work on are no orphans yet. Gives
 * those that were not known.
 */
export async function noteOrphans(
  dataSource: Database,
  engineId: string,
  found: readonly Unwanted[],
  now: Date,
): Promise<Pick<OrphanEntity, 'kind' | 'name' | 'tenantId' | 'why'>[]> {
  return tx(dataSource, async (db) => {
    const known = new Set((await db.findBy(OrphanEntity, { engineId })).map(keyOf));
    if (found.length === 0) {
      await db.delete(OrphanEntity, { engineId });
      return [];
    }
    const ids = In([...new Set(found.map(({ tenantId }) => tenantId))]);
    const open = await db.find(OperationEntity, {
      where: { tenantId: ids, state: In(['queued', 'running']) },
      select: { id: true, tenantId: true },
    });
    const busy = new Set(open.map(({ tenantId }) => tenantId));
    // Of whatever engine: a stack that is somewhere is not gone.
    const stacks = new Set(
      (await db.find(TenantEntity, { where: { id: ids }, select: { id: true } })).map(({ id }) => id),
    );
    const orphans = found
      .filter(({ tenantId }) => !busy.has(tenantId))
      .map((one) => ({ ...one, why: stacks.has(one.tenantId) ? ('not_wanted' as const) : ('no_stack' as const) }));
    for (const orphan of orphans) {
      await db
        .createQueryBuilder()
        .insert()
        .into(OrphanEntity)
        .values({ engineId, ...orphan, firstSeenAt: now, lastSeenAt: now })
        .orUpdate(['tenant_id', 'why', 'last_seen_at'], ['engine_id', 'kind', 'name'])
        .execute();
    }
    await db.delete(OrphanEntity, { engineId, lastSeenAt: LessThan(now) });
    return orphans.filter((orphan) => !known.has(keyOf(orphan)));
  });
}

/** Those without a stack that were first seen longer ago than the grace. */
export function overdueOrphans(
  dataSource: Database,
  engineId: string,
  graceHours: number,
  now: Date,
): Promise<OrphanEntity[]> {
  const firstSeenAt = LessThan(new Date(now.getTime() - graceHours * HOUR_MS));
  return dataSource.manager.findBy(OrphanEntity, { engineId, why: 'no_stack', firstSeenAt });
}

export async function forgetOrphan(dataSource: Database, { engineId, kind, name }: OrphanEntity): Promise<void> {
  await dataSource.manager.delete(OrphanEntity, { engineId, kind, name });
}
