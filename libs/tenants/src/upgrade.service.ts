import { DomainError, type Accepted, type Actor, type UpgradeStack } from '#libs/contracts';
import { ReleaseEntity, UpgradeFailureEntity, tx, type TenantEntity, type Tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { upgradeProblem } from './domain/release-rules.js';
import { newestStable } from './offered-upgrades.js';
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
      const failure = await db.findOneBy(UpgradeFailureEntity, {
        tenantId: tenant.id,
        fromRelease: from.id,
        toRelease: to.id,
      });
      const problem = upgradeProblem({ slug, from, to, operator, failure }) ?? restProblem(tenant);
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
  const release = id === undefined ? await newestStable(db, template) : await db.findOneBy(ReleaseEntity, { id });
  if (!release) {
    throw noSuchRelease(id ?? `of ${template} that is stable`);
  }
  return release;
}

/** Nobody could tell whether the new release works on what does not run as it should. */
function restProblem({ slug, desired, observed }: TenantEntity): ReturnType<typeof upgradeProblem> {
  return desired === 'running' && observed === 'running'
    ? null
    : {
        why: 'not_running',
        message: `${slug} does not run as it should, so nobody could tell whether the new release works. Start it first.`,
      };
}
