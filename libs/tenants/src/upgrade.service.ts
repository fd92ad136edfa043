import { DomainError, type Accepted, type Actor, type UpgradeStack } from '#libs/contracts';
import { ReleaseEntity, UpgradeFailureEntity, tx, type TenantEntity, type Tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { changesMajor } from './domain/database-major.js';
import { restProblem, upgradeProblem } from './domain/release-rules.js';
import type { Template } from './domain/template.js';
import { newestStable } from './offered-upgrades.js';
import { noSuchRelease } from './release.service.js';
import type { TenantDeps } from './settings.js';
import { accepted, lockStack, placeOrder } from './stack.change.js';

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
      return accepted(db, this.deps, tenant, await orderUpgrade(db, this.deps, { tenant, from, to, actor, operator }));
    });
  }
}

interface UpgradeOrder {
  /** Locked. */
  tenant: TenantEntity;
  from: ReleaseEntity;
  to: ReleaseEntity;
  actor: Actor;
  /** Whether it may go to a candidate. */
  operator: boolean;
  /** What the operation is to carry besides. */
  input?: Record<string, unknown>;
}

/** The one way an upgrade is ordered, by whomever. Gives the operation's id; throws as `UpgradeService.upgrade`. */
export async function orderUpgrade(
  db: Tx,
  deps: Pick<TenantDeps, 'queue' | 'now'>,
  { tenant, from, to, actor, operator, input }: UpgradeOrder,
): Promise<string> {
  const failure = await db.findOneBy(UpgradeFailureEntity, {
    tenantId: tenant.id,
    fromRelease: from.id,
    toRelease: to.id,
  });
  const { slug, tradingHeldSince } = tenant;
  const problem = upgradeProblem({ slug, tradingHeldSince, from, to, operator, failure }) ?? restProblem(tenant);
  if (problem) {
    throw new DomainError('WRONG_STATE', {
      message: problem.message,
      details: { why: problem.why, from: from.id, to: to.id },
    });
  }
  return placeOrder(db, deps, {
    tenant,
    kind: 'upgrade',
    actor,
    input: { ...input, from: from.id, to: to.id },
    before: { release: from.id },
    after: { release: to.id },
    leaveOut: changesMajor(from.definition as Template, to.definition as Template) ? [] : ['quiesce', 'carry'],
  });
}

async function releaseFor(db: Tx, template: string, id: string | undefined): Promise<ReleaseEntity> {
  const release = id === undefined ? await newestStable(db, template) : await db.findOneBy(ReleaseEntity, { id });
  if (!release) {
    throw noSuchRelease(id ?? `of ${template} that is stable`);
  }
  return release;
}
