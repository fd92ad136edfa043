import { DomainError, type Accepted, type Actor } from '#libs/contracts';
import { HoldEntity, tx } from '#libs/db';
import { requireActor } from './authorise.js';
import type { TenantDeps } from './settings.js';
import { lockStack, orderOperation } from './stack.change.js';

/** Keeps a stack from running, whatever its owner wants of it, and lets go of it again. Operators only. */
export class HoldService {
  constructor(private readonly deps: TenantDeps) {}

  /**
   * Legal from every state but a destroy, and takes the place of whatever is open. Asked again, the note is the newer
   * one and the stack is looked at again; while the first one is under way, that one is the answer.
   */
  async suspend(actor: Actor, slug: string, note: string): Promise<Accepted> {
    requireOperator(actor);
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'suspend');
      const before = await db.findOneBy(HoldEntity, { tenantId: tenant.id, reason: 'operator' });
      await db
        .createQueryBuilder()
        .insert()
        .into(HoldEntity)
        .values({ tenantId: tenant.id, reason: 'operator', note, createdAt: this.deps.now() })
        .orUpdate(['note'], ['tenant_id', 'reason'])
        .execute();
      return orderOperation(db, this.deps, {
        tenant,
        kind: 'suspend',
        actor,
        before: { note: before?.note ?? null },
        after: { note },
      });
    });
  }

  /**
   * What the owner wants holds again, unless another hold remains. Legal where nothing is held too: the stack is
   * looked at and brought to what is wanted.
   */
  async resume(actor: Actor, slug: string): Promise<Accepted> {
    requireOperator(actor);
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'resume');
      const held = await db.findOneBy(HoldEntity, { tenantId: tenant.id, reason: 'operator' });
      await db.delete(HoldEntity, { tenantId: tenant.id, reason: 'operator' });
      return orderOperation(db, this.deps, { tenant, kind: 'resume', actor, before: { note: held?.note ?? null } });
    });
  }
}

function requireOperator(actor: Actor): void {
  if (requireActor(actor).kind !== 'operator') {
    throw new DomainError('FORBIDDEN');
  }
}
