import type { EntityManager } from 'typeorm';
import { DomainError } from '#libs/contracts';
import { EdgeSlotEntity, EngineEntity, TenantSubnetEntity } from '#libs/db';
import { lockEngine } from './capacity.js';
import { edgeCount, tenantSubnetCount } from './domain/addresses.js';
import { edgePortsOf } from './domain/capacity.js';
import type { AllocationSettings } from './settings.js';

/**
 * Gives the tenant the lowest free /26 and, for each service that serves a route or trades, the lowest free slot of
 * an edge bridge. One lock per engine for the transaction: two creations must not read the same gap.
 * Throws NO_CAPACITY when nothing is left, which `requireRoom` says before and in words.
 */
export async function allocateAddresses(
  tx: EntityManager,
  settings: AllocationSettings,
  tenantId: string,
  edgeServices: readonly string[],
): Promise<void> {
  const { engineId, pool } = settings;
  await lockEngine(tx, engineId);
  const [free] = await tx.query<{ subnet: number }[]>(
    `select n as subnet from generate_series(0, least((select count(*) from tenant_subnets where engine_id = $1), $2 - 1)) as n
      where not exists (select from tenant_subnets where engine_id = $1 and subnet = n) order by n limit 1`,
    [engineId, tenantSubnetCount(pool)],
  );
  if (!free) {
    throw new DomainError('NO_CAPACITY', { details: { engine: engineId, subnets: tenantSubnetCount(pool) } });
  }
  await tx.insert(TenantSubnetEntity, { engineId, subnet: free.subnet, tenantId });
  const ports = edgePortsOf((await tx.findOneByOrFail(EngineEntity, { id: engineId })).capacity);
  for (const service of edgeServices) {
    const [slot] = await tx.query<{ edge: number; slot: number }[]>(
      `select e as edge, s as slot from generate_series(0, $2 - 1) as e
        cross join lateral (
          select n as s from generate_series(0, $3 - 1) as n
           where not exists (select from edge_slots where engine_id = $1 and edge = e and slot = n) order by n limit 1) as gap
        order by e limit 1`,
      [engineId, edgeCount(), ports],
    );
    if (!slot) {
      throw new DomainError('NO_CAPACITY', { details: { engine: engineId, edgePorts: edgeCount() * ports } });
    }
    await tx.insert(EdgeSlotEntity, { engineId, edge: slot.edge, slot: slot.slot, tenantId, service });
  }
}
