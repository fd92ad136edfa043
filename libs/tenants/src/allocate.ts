import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/contracts';
import { EdgeSlotEntity, TenantSubnetEntity } from '#libs/db';
import { EDGE_PORTS, edgeCount, tenantSubnetCount } from './domain/addresses.js';
import type { AllocationSettings } from './settings.js';

/** Distinguishes our advisory locks from others in the same database; the value itself means nothing. */
const ALLOCATION_LOCK = 0x41564941;

/**
 * Gives the tenant the lowest free /26 and, for each service that serves a route or trades, the lowest free slot of
 * an edge bridge. One lock per engine for the transaction: two creations must not read the same gap.
 * Throws NO_CAPACITY with the figures when nothing is left; nothing was made then.
 */
export async function allocateAddresses(
  tx: EntityManager,
  settings: AllocationSettings,
  tenantId: string,
  edgeServices: readonly string[],
): Promise<void> {
  const { engineId, pool } = settings;
  await tx.query('select pg_advisory_xact_lock($1, hashtext($2))', [ALLOCATION_LOCK, engineId]);
  const [free] = await tx.query<{ subnet: number }[]>(
    `select n as subnet from generate_series(0, least((select count(*) from tenant_subnets where engine_id = $1), $2 - 1)) as n
      where not exists (select from tenant_subnets where engine_id = $1 and subnet = n) order by n limit 1`,
    [engineId, tenantSubnetCount(pool)],
  );
  if (!free) {
    throw new DomainError('NO_CAPACITY', {
      message: `All ${tenantSubnetCount(pool)} networks of this host are in use, so no stack can be added.`,
      details: { engine: engineId, subnets: tenantSubnetCount(pool) },
    });
  }
  await tx.insert(TenantSubnetEntity, { engineId, subnet: free.subnet, tenantId });
  for (const service of edgeServices) {
    const [slot] = await tx.query<{ edge: number; slot: number }[]>(
      `select e as edge, s as slot from generate_series(0, $2 - 1) as e
        cross join lateral (
          select n as s from generate_series(0, $3 - 1) as n
           where not exists (select from edge_slots where engine_id = $1 and edge = e and slot = n) order by n limit 1) as gap
        order by e limit 1`,
      [engineId, edgeCount(), EDGE_PORTS],
    );
    if (!slot) {
      throw new DomainError('NO_CAPACITY', {
        message: `All ${edgeCount() * EDGE_PORTS} edge addresses of this host are in use, so no stack can be added.`,
        details: { engine: engineId, edgeAddresses: edgeCount() * EDGE_PORTS },
      });
    }
    await tx.insert(EdgeSlotEntity, { engineId, edge: slot.edge, slot: slot.slot, tenantId, service });
  }
}
