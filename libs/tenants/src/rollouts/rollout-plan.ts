import { In, type EntityManager } from 'typeorm';
import {
  DomainError,
  type HoldReason,
  type PlanRollout,
  type RolloutSelection,
  type RolloutSkip,
} from '#libs/contracts';
import { ReleaseEntity, TenantEntity, UpgradeFailureEntity, HoldEntity } from '#libs/db';
import { ringsOf } from '../domain/rollout-rings.js';
import { rolloutSkip } from '../domain/rollout-skips.js';
import type { ReleaseFacts } from '../domain/release-rules.js';
import { releasesOf } from '../offered-upgrades.js';
import { noSuchRelease } from '../release.service.js';

export interface DrawnRollout {
  release: ReleaseEntity;
  /** In the order in which they go, by ring. */
  rings: TenantEntity[][];
  skipped: { tenant: TenantEntity; why: RolloutSkip; message: string }[];
}

/**
 * Who would go to that release, in which ring, and who would not and why. The order is that of a digest of release and
 * stack: the same at each look, and another one for each release, so that not always the same customers go first.
 * Throws NOT_FOUND, and WRONG_STATE for a release that no fleet goes to.
 */
export async function drawRollout(db: EntityManager, order: PlanRollout): Promise<DrawnRollout> {
  const release = await db.findOneBy(ReleaseEntity, { id: order.release });
  if (!release) {
    throw noSuchRelease(order.release);
  }
  requireOffered(release, order.settings.candidate);
  const tenants = await selected(db, release, order.selection);
  const froms = tenants.length === 0 ? new Map<string, ReleaseFacts>() : await releasesOf(db, tenants);
  const holds = await holdsByStack(db, tenants);
  const failures = await db.findBy(UpgradeFailureEntity, { toRelease: release.id });
  const going: TenantEntity[] = [];
  const skipped: DrawnRollout['skipped'] = [];
  for (const tenant of tenants) {
    const from = froms.get(tenant.releaseId) ?? release;
    const skip = rolloutSkip({
      stack: tenant,
      holds: holds.get(tenant.id) ?? [],
      from,
      to: release,
      failure: failures.find((one) => one.tenantId === tenant.id && one.fromRelease === from.id) ?? null,
      selection: order.selection,
    });
    if (skip === null) {
      going.push(tenant);
    } else {
      skipped.push({ tenant, ...skip });
    }
  }
  return { release, rings: ringsOf(going, order.settings), skipped };
}

function requireOffered({ id, state }: ReleaseEntity, candidate: boolean): void {
  if (state === 'stable' || (state === 'candidate' && candidate)) {
    return;
  }
  throw new DomainError('WRONG_STATE', {
    message:
      state === 'candidate'
        ? `${id} is a candidate. Make it stable first, or let the canary alone go to a candidate.`
        : `${id} is ${state}. A fleet goes to a stable release.`,
    details: { why: 'not_stable', state },
  });
}

async function selected(
  db: EntityManager,
  release: ReleaseEntity,
  { from, stacks }: RolloutSelection,
): Promise<TenantEntity[]> {
  const query = db
    .createQueryBuilder(TenantEntity, 'tenant')
    .innerJoin(ReleaseEntity, 'own', 'own.id = tenant.releaseId')
    .where('own.template = :template', { template: release.template })
    .orderBy('md5(:release || tenant.id::text)')
    .addOrderBy('tenant.id')
    .setParameter('release', release.id);
  if (from !== undefined) {
    query.andWhere('tenant.releaseId = :from', { from });
  }
  if (stacks !== undefined) {
    query.andWhere('tenant.slug in (:...stacks)', { stacks });
  }
  const tenants = await query.getMany();
  const gone = (stacks ?? []).filter((slug) => !tenants.some((tenant) => tenant.slug === slug));
  if (gone.length > 0) {
    throw new DomainError('NOT_FOUND', {
      message: `There is no stack ${gone.join(', ')} of ${release.template}${from === undefined ? '' : ` on ${from}`}.`,
      details: { stacks: gone },
    });
  }
  return tenants;
}

async function holdsByStack(db: EntityManager, tenants: readonly TenantEntity[]): Promise<Map<string, HoldReason[]>> {
  const held = new Map<string, HoldReason[]>();
  if (tenants.length === 0) {
    return held;
  }
  for (const { tenantId, reason } of await db.findBy(HoldEntity, { tenantId: In(tenants.map(({ id }) => id)) })) {
    held.set(tenantId, [...(held.get(tenantId) ?? []), reason]);
  }
  return held;
}
