import { DomainError, type Accepted, type Actor, type UpgradeProblem, type UpgradeStack } from '#libs/contracts';
import { ReleaseEntity, UpgradeFailureEntity, tx, type TenantEntity, type Tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { incompatible } from './domain/release-rules.js';
import type { Template } from './domain/template.js';
import { noSuchRelease } from './release.service.js';
import type { TenantDeps } from './settings.js';
import { lockStack, orderOperation } from './stack.change.js';

/** Brings stacks to another release. */
export class UpgradeService {
  constructor(private readonly deps: TenantDeps) {}

  /**
   * To that release, newer or older; to a candidate by operators only. A verified backup comes first; what fails after
   * the stack was touched is rolled back by itself, and not tried on this stack again until the release is marked
   * fixed. Throws NOT_FOUND, TENANT_BUSY, and WRONG_STATE (details.why is an UpgradeProblem).
   */
  async upgrade(actor: Actor, slug: string, { release: id }: UpgradeStack): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'upgrade');
      const from = await db.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
      const to = await releaseFor(db, from.template, id);
      const operator = requireActor(actor).kind === 'operator';
      const problem = await problemOf(db, { tenant, from, to, operator });
      if (problem) {
        throw new DomainError('WRONG_STATE', {
          message: problem.message,
          details: { why: problem.why, from: from.id, to: to.id },
        });
      }
      return orderOperation(db, this.deps, {
        tenant,
        kind: 'upgrade',
        actor,
        input: { from: from.id, to: to.id },
        before: { release: from.id },
        after: { release: to.id },
      });
    });
  }
}

async function releaseFor(db: Tx, template: string, id: string | undefined): Promise<ReleaseEntity> {
  const release =
    id === undefined
      ? await db.findOne(ReleaseEntity, { where: { template, state: 'stable' }, order: { createdAt: 'DESC' } })
      : await db.findOneBy(ReleaseEntity, { id });
  if (!release) {
    throw noSuchRelease(id ?? `of ${template} that is stable`);
  }
  return release;
}

async function problemOf(
  db: Tx,
  { tenant, from, to, operator }: { tenant: TenantEntity; from: ReleaseEntity; to: ReleaseEntity; operator: boolean },
): Promise<{ why: UpgradeProblem; message: string } | null> {
  if (to.id === from.id) {
    return { why: 'same', message: `${tenant.slug} is on ${to.id} already.` };
  }
  if (to.state === 'withdrawn') {
    return { why: 'withdrawn', message: `${to.id} was withdrawn. Choose another release.` };
  }
  if (to.state === 'draft' || (to.state === 'candidate' && !operator)) {
    return { why: 'draft', message: `${to.id} is not ready yet.` };
  }
  const different = incompatible(from.definition as Template, to.definition as Template);
  if (different !== null) {
    return { why: 'incompatible', message: `${tenant.slug} cannot go to ${to.id}: ${different}` };
  }
  const failure = await db.findOneBy(UpgradeFailureEntity, {
    tenantId: tenant.id,
    fromRelease: from.id,
    toRelease: to.id,
  });
  if (failure) {
    return {
      why: 'failed_before',
      message: `The same upgrade of ${tenant.slug} failed on ${failure.at.toISOString()}: ${failure.message} It is not tried again until an operator marks the release as fixed.`,
    };
  }
  if (tenant.desired !== 'running' || tenant.observed !== 'running') {
    return {
      why: 'not_running',
      message: `${tenant.slug} does not run as it should, so nobody could tell whether the new release works. Start it first.`,
    };
  }
  return null;
}
