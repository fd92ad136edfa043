import type { EntityManager, SelectQueryBuilder } from 'typeorm';
import type { StackView } from '#libs/contracts';
import { ReleaseEntity, UpgradeFailureEntity, type TenantEntity } from '#libs/db';
import { offeredRelease, type ReleaseFacts } from './domain/release-rules.js';

/** A release without its images, which views have no use for. */
export type SeenRelease = ReleaseFacts & Pick<ReleaseEntity, 'version'>;

/** The one that new stacks of the template are made of. */
export function newestStable(db: EntityManager, template: string): Promise<ReleaseEntity | null> {
  return db.findOne(ReleaseEntity, { where: { template, state: 'stable' }, order: { createdAt: 'DESC' } });
}

const seenReleases = (db: EntityManager): SelectQueryBuilder<ReleaseEntity> =>
  db
    .createQueryBuilder(ReleaseEntity, 'release')
    .select(['release.id', 'release.version', 'release.state', 'release.definition', 'release.createdAt']);

/** By id, those the stacks are on. */
export async function releasesOf(
  db: EntityManager,
  tenants: readonly TenantEntity[],
): Promise<Map<string, SeenRelease>> {
  const rows = await seenReleases(db)
    .where('release.id in (:...ids)', { ids: tenants.map(({ releaseId }) => releaseId) })
    .getMany();
  return new Map(rows.map((row) => [row.id, row]));
}

/** What each stack's owner is offered, by the stack's id; by at most two queries for all of them. */
export async function offeredUpgrades(
  db: EntityManager,
  tenants: readonly TenantEntity[],
  releases: ReadonlyMap<string, SeenRelease>,
): Promise<Map<string, NonNullable<StackView['upgrade']>>> {
  // Each `up` with other images registers one, so those that are of no use to any of the stacks are not read.
  const stable: SeenRelease[] = await seenReleases(db)
    .where(`release.state = 'stable'`)
    .andWhere(
      `exists (select from releases own where own.id in (:...ids) and own.template = release.template
                and own.created_at < release.created_at)`,
      { ids: [...releases.keys()] },
    )
    .orderBy('release.createdAt', 'DESC')
    .getMany();
  if (stable.length === 0) {
    return new Map();
  }
  const failures = await db
    .createQueryBuilder(UpgradeFailureEntity, 'failure')
    .where('failure.tenantId in (:...ids)', { ids: tenants.map(({ id }) => id) })
    .getMany();
  const offers = new Map<string, NonNullable<StackView['upgrade']>>();
  for (const { id, slug, releaseId, tradingHeldSince } of tenants) {
    const from = releases.get(releaseId);
    const failureOn = (to: string): UpgradeFailureEntity | null =>
      failures.find((one) => one.tenantId === id && one.fromRelease === releaseId && one.toRelease === to) ?? null;
    const offered = from && offeredRelease({ slug, tradingHeldSince, from, stable, failureOn });
    if (offered) {
      offers.set(id, { release: offered.id, version: offered.version });
    }
  }
  return offers;
}
