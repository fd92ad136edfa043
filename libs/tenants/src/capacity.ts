import type { EntityManager } from 'typeorm';
import { DomainError, type Actor, type CapacityItem, type CapacityView } from '#libs/contracts';
import { EngineEntity, ReleaseEntity, type TenantEntity } from '#libs/db';
import { requireActor } from './authorise.js';
import { edgeCount, tenantSubnetCount, type AddressPool } from './domain/addresses.js';
import {
  capacityItems,
  requireRoomFor,
  runningOf,
  worstLevel,
  type Amounts,
  type Promised,
} from './domain/capacity.js';
import type { Template } from './domain/template.js';
import type { TenantDeps } from './settings.js';

/** Distinguishes our advisory locks from others in the same database; the value itself means nothing. */
const ALLOCATION_LOCK = 0x41564941;

/** One allocation at a time per engine, until the transaction ends: two must not read the same gap. */
export async function lockEngine(tx: EntityManager, engineId: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1, hashtext($2))', [ALLOCATION_LOCK, engineId]);
}

/**
 * What runs, and what is about to end but may still be told to go on. `starting` is the stack that asks, if it is there:
 * what it has is no more than what it needs.
 */
async function promised(db: EntityManager, engineId: string, starting: string | null): Promise<Promised> {
  const [row] = await db.query<Promised[]>(
    `select coalesce(sum((t.limits->>'memoryMb')::int) filter (where running), 0)::int as "memoryMb",
            coalesce(sum((t.limits->>'cpus')::float8) filter (where running), 0)::float8 as cpus,
            coalesce(sum((t.limits->>'pids')::int) filter (where running), 0)::int as pids,
            coalesce(sum(services) filter (where running), 0)::int as containers,
            coalesce(sum((t.limits->>'diskGb')::int), 0)::int as "diskGb",
            (select count(*) from tenant_subnets where engine_id = $1)::int as subnets,
            (select count(*) from edge_slots where engine_id = $1)::int as "edgePorts"
       from tenants t
       join releases r on r.id = t.release_id
      cross join lateral (select t.desired = 'running'
                                   or (t.id is distinct from $2 and exists (
                                        select from operations o where o.tenant_id = t.id and o.exclusive
                                           and o.state in ('queued', 'running') and o.desired_before = 'running')) as running,
                                 (select count(*) from jsonb_object_keys(r.definition->'services')) as services) as x
      where t.engine_id = $1`,
    [engineId, starting],
  );
  if (!row) {
    throw new Error('an aggregate always has one row');
  }
  return row;
}

async function itemsOf(
  db: EntityManager,
  engine: EngineEntity,
  { pool, starting = null }: { pool?: AddressPool; starting?: string | null },
): Promise<CapacityItem[]> {
  const pools = pool ? { subnets: tenantSubnetCount(pool), edges: edgeCount() } : null;
  return capacityItems(engine.capacity, await promised(db, engine.id, starting), pools);
}

/**
 * Throws NO_CAPACITY unless the engine has room for `needed` beside all that is promised. Takes the engine's lock, so
 * that what was found is still so when the transaction commits. The pool is needed where addresses are.
 */
export async function requireRoom(
  tx: EntityManager,
  engineId: string,
  needed: Amounts,
  beside: { pool?: AddressPool; starting?: string } = {},
): Promise<void> {
  await lockEngine(tx, engineId);
  const engine = await tx.findOneByOrFail(EngineEntity, { id: engineId });
  requireRoomFor(engine.id, await itemsOf(tx, engine, beside), needed);
}

/** The same for a stack that is there and does not run yet. */
export async function requireRoomToRun(tx: EntityManager, tenant: TenantEntity): Promise<void> {
  const { definition } = await tx.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
  const containers = Object.keys((definition as Template).services).length;
  await requireRoom(tx, tenant.engineId, runningOf(tenant.limits, containers), { starting: tenant.id });
}

/** Every resource of one engine, as its agent and the rows have it now. */
export async function engineRoom(db: EntityManager, engineId: string, pool: AddressPool): Promise<CapacityItem[]> {
  return itemsOf(db, await db.findOneByOrFail(EngineEntity, { id: engineId }), { pool });
}

/** What operators see of the room on their hosts. */
export class CapacityService {
  constructor(
    private readonly deps: Pick<TenantDeps, 'dataSource' | 'now'>,
    private readonly pool: AddressPool,
  ) {}

  async read(actor: Actor): Promise<CapacityView> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const db = this.deps.dataSource.manager;
    const engines = await db.find(EngineEntity, { order: { id: 'ASC' } });
    return {
      at: this.deps.now().toISOString(),
      engines: await Promise.all(
        engines.map(async (engine) => {
          const items = await itemsOf(db, engine, { pool: this.pool });
          return { engine: engine.id, seenAt: engine.seenAt.toISOString(), level: worstLevel(items), items };
        }),
      ),
    };
  }
}
