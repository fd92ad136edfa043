import { DomainError, stackLimitsSchema, type Accepted, type Actor } from '#libs/contracts';
import { AccountEntity, PlanEntity, TenantEntity, tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { requireRoom } from './capacity.js';
import { growthOf } from './domain/capacity.js';
import type { TenantDeps } from './settings.js';
import { lockStack, orderOperation } from './stack.change.js';

/** Gives stacks the limits of a plan, and new secrets. */
export class ResizeService {
  constructor(private readonly deps: TenantDeps) {}

  /**
   * To the limits of that plan: of any for an operator, of their account's own for a subscriber. CPU, memory and
   * processes change under the running stack where the engine can; another number of bots is read at a start, so
   * that one restarts. Throws NOT_FOUND for a plan nobody knows, QUOTA_EXCEEDED for one that is not theirs,
   * NO_CAPACITY where the host cannot carry it.
   */
  async resize(actor: Actor, slug: string, code: string): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'resize');
      const plan = await db.findOneBy(PlanEntity, { code });
      if (!plan) {
        throw new DomainError('NOT_FOUND', { message: `There is no plan ${code}.`, details: { plan: code } });
      }
      if (requireActor(actor).kind !== 'operator') {
        const account = await db.findOneByOrFail(AccountEntity, { id: tenant.accountId });
        if (account.planId !== plan.id) {
          throw new DomainError('QUOTA_EXCEEDED', {
            message: `Your plan is not ${plan.name}, so your stacks cannot have its limits.`,
            details: { limit: 'plan', plan: code },
          });
        }
      }
      const before = tenant.limits;
      const limits = stackLimitsSchema.parse(plan.limits);
      await requireRoom(db, tenant.engineId, growthOf(before, limits, tenant.desired === 'running'));
      await db.update(TenantEntity, { id: tenant.id }, { limits });
      return orderOperation(db, this.deps, {
        tenant: Object.assign(tenant, { limits }),
        kind: 'resize',
        actor,
        before: { limits: before },
        after: { limits, plan: code },
        leaveOut: before.bots === limits.bots ? ['unpublish', 'drain'] : [],
      });
    });
  }

  /**
   * New passwords of its stores and a new key of its own. What runs is restarted with them; of a stack that rests, the
   * database learns its new password at the next start. The old values are kept until the new ones are proven.
   */
  async rotateSecrets(actor: Actor, slug: string): Promise<Accepted> {
    return tx(this.deps.dataSource, async (db) =>
      orderOperation(db, this.deps, {
        tenant: await lockStack(db, actor, slug, 'rotate_secrets'),
        kind: 'rotate_secrets',
        actor,
      }),
    );
  }
}
