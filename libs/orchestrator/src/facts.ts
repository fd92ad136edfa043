import type { EntityManager } from 'typeorm';
import { EdgeSlotEntity, HoldEntity, ReleaseEntity, TenantEntity, TenantSubnetEntity } from '#libs/db';
import { stackHost, type AddressPool, type Template } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';

export interface FactSettings {
  platformId: string;
  pool: AddressPool;
  portalDomain: string;
  tenantDomain: string;
  mtu?: number;
}

/** All the rows say of a stack; null when its rows are gone, which is how a finished destroy looks. */
export async function readFacts(
  db: EntityManager,
  settings: FactSettings,
  tenantId: string,
): Promise<StackFacts | null> {
  const tenant = await db.findOneBy(TenantEntity, { id: tenantId });
  if (!tenant) {
    return null;
  }
  const release = await db.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
  const subnet = await db.findOneByOrFail(TenantSubnetEntity, { tenantId });
  const slots = await db.findBy(EdgeSlotEntity, { tenantId });
  const holds = await db.findBy(HoldEntity, { tenantId });
  return {
    platformId: settings.platformId,
    tenantId,
    slug: tenant.slug,
    generation: tenant.generation,
    epoch: tenant.epoch,
    desired: tenant.desired,
    holds: holds.map(({ reason }) => reason),
    limits: tenant.limits,
    template: release.definition as Template,
    images: release.images,
    subnet: subnet.subnet,
    edges: Object.fromEntries(slots.map(({ service, edge, slot }) => [service, { edge, slot }])),
    pool: settings.pool,
    hostsOnGateway: [...new Set([settings.portalDomain, stackHost('dashboard', tenant.slug, settings.tenantDomain)])],
    ...(settings.mtu === undefined ? {} : { mtu: settings.mtu }),
    release: release.version,
    provisioningGeneration: tenant.provisioningGeneration,
  };
}
