import { In, LessThan } from 'typeorm';
import { OperationEntity, OrphanEntity, TenantEntity, tx, type Database } from '#libs/db';

/** An object on an engine whose labels name a stack that does not want it. */
export type Unwanted = Pick<OrphanEntity, 'kind' | 'name' | 'tenantId'>;

const keyOf = ({ kind, name }: Pick<OrphanEntity, 'kind' | 'name'>): string => `${kind} ${name}`;

/**
 * Makes the list of an engine's orphans what was found: new ones come to it, those found again keep the time they
 * were first seen, the others leave it. What has no stack is to be removed once it was seen so for the grace, in hours;
 * with a grace of 0 it is kept. Objects of a stack that something is at work on are no orphans yet. Gives those that
 * were not known.
 */
export async function noteOrphans(
  dataSource: Database,
  engineId: string,
  found: readonly Unwanted[],
  { now, graceHours }: { now: Date; graceHours: number },
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
        .values({ engineId, ...orphan, firstSeenAt: now, lastSeenAt: now, removeAt: null })
        .orUpdate(['tenant_id', 'why', 'last_seen_at'], ['engine_id', 'kind', 'name'])
        .execute();
    }
    await db.query(
      `update orphans set remove_at =
         case when why = 'no_stack' and $2::float8 > 0 then first_seen_at + make_interval(secs => $2::float8 * 3600) end
        where engine_id = $1`,
      [engineId, graceHours],
    );
    await db.delete(OrphanEntity, { engineId, lastSeenAt: LessThan(now) });
    return orphans.filter((orphan) => !known.has(keyOf(orphan)));
  });
}

/** Those whose time to be removed has come. */
export function overdueOrphans(dataSource: Database, engineId: string, now: Date): Promise<OrphanEntity[]> {
  return dataSource.manager.findBy(OrphanEntity, { engineId, removeAt: LessThan(now) });
}

export async function forgetOrphan(dataSource: Database, { engineId, kind, name }: OrphanEntity): Promise<void> {
  await dataSource.manager.delete(OrphanEntity, { engineId, kind, name });
}
