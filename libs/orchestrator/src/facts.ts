import { In, type EntityManager } from 'typeorm';
import { isUnsettled, servedDomains, stackHost, type AddressPool, type Template } from '#libs/tenants';
import { EdgeSlotEntity, HoldEntity, OperationEntity, ReleaseEntity, TenantEntity, TenantSubnetEntity } from '#libs/db';
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
  const [facts] = await readManyFacts(db, settings, [tenantId]);
  return facts ?? null;
}

/** The same of many stacks by a fixed number of queries; those whose rows are gone are left out. */
export async function readManyFacts(
  db: EntityManager,
  settings: FactSettings,
  tenantIds: readonly string[],
): Promise<StackFacts[]> {
  const tenants = await db.findBy(TenantEntity, { id: In([...tenantIds]) });
  const ids = In(tenants.map(({ id }) => id));
  // One after another: a transaction has one connection.
  const releases = await db.findBy(ReleaseEntity, { id: In([...new Set(tenants.map(({ releaseId }) => releaseId))]) });
  const subnets = await db.findBy(TenantSubnetEntity, { tenantId: ids });
  const slots = await db.findBy(EdgeSlotEntity, { tenantId: ids });
  const holds = await db.findBy(HoldEntity, { tenantId: ids });
  const open = await db.find(OperationEntity, {
    select: { id: true, tenantId: true, kind: true, exclusive: true, input: true },
    where: { tenantId: ids, state: In(['queued', 'running']) },
  });
  const backingUp = new Set(open.filter(({ exclusive }) => !exclusive).map(({ tenantId }) => tenantId));
  const unsettled = new Map(open.filter(isUnsettled).map(({ id, tenantId }) => [tenantId, id]));
  const domainsOf = await servedDomains(
    db,
    tenants.map(({ id }) => id),
  );
  const release = new Map(releases.map((row) => [row.id, row]));
  const subnet = new Map(subnets.map((row) => [row.tenantId, row.subnet]));
  const slotsOf = Map.groupBy(slots, (row) => row.tenantId);
  const holdsOf = Map.groupBy(holds, (row) => row.tenantId);
  return tenants.map((tenant) => {
    const { id, slug } = tenant;
    const made = release.get(tenant.releaseId);
    const network = subnet.get(id);
    if (!made || network === undefined) {
      throw new Error(`${slug} is without its ${made ? 'network' : 'release'}`);
    }
    return {
      platformId: settings.platformId,
      tenantId: id,
      slug,
      generation: tenant.generation,
      epoch: tenant.epoch,
      nextEpoch: tenant.nextEpoch,
      keptEpochs: tenant.keptEpochs,
      carriedEpochs: tenant.carriedEpochs,
      backingUp: backingUp.has(id),
      desired: tenant.desired,
      holds: (holdsOf.get(id) ?? []).map(({ reason }) => reason),
      limits: tenant.limits,
      template: made.definition as Template,
      images: made.images,
      subnet: network,
      edges: Object.fromEntries((slotsOf.get(id) ?? []).map(({ service, edge, slot }) => [service, { edge, slot }])),
      pool: settings.pool,
      hostsOnGateway: [...new Set([settings.portalDomain, stackHost('dashboard', slug, settings.tenantDomain)])],
      domains: domainsOf.get(id) ?? [],
      ...(settings.mtu === undefined ? {} : { mtu: settings.mtu }),
      release: made.version,
      provisioningGeneration: tenant.provisioningGeneration,
      clonedFrom: tenant.clonedFrom?.tenant ?? null,
      tradingHeldSince: tenant.tradingHeldSince?.toISOString() ?? null,
      tradesAfter: (made.definition as Template).aviary.tradesAfter === true ? (unsettled.get(id) ?? null) : null,
    };
  });
}
