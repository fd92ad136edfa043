import { appendAudit } from '#libs/audit';
import { DomainError, type Accepted, type Actor, type ExpiredBackups } from '#libs/contracts';
import { tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { expiredBackups } from './expired-backups.js';
import { operationViews } from './operation.repository.js';
import { startOperation } from './operation.start.js';
import type { TenantDeps } from './settings.js';
import { findStack, lockStack } from './stack.change.js';

/** What plans keep of backups, as operators look at it and have it done before the night does. */
export class RetentionService {
  constructor(
    private readonly deps: TenantDeps,
    /** Of the platform's days. */
    private readonly zone: string,
  ) {}

  /** Backups that would go now, of one stack or of all, oldest first within each. Throws FORBIDDEN but for operators. */
  async expired(actor: Actor, slug?: string): Promise<ExpiredBackups> {
    this.requireOperator(actor);
    const db = this.deps.dataSource.manager;
    const tenantIds = slug === undefined ? null : [(await findStack(db, actor, slug)).id];
    const gone = await expiredBackups(db, { tenantIds, zone: this.zone, now: this.deps.now() });
    return {
      items: gone.map(({ id, slug: of, at, state, reason, addedBytes }) => ({
        id,
        slug: of,
        at: at.toISOString(),
        state,
        reason,
        addedBytes,
      })),
      next: null,
    };
  }

  /** Removes them of that stack. Throws TENANT_BUSY while anything else is under way on it, or they are read. */
  async prune(actor: Actor, slug: string): Promise<Accepted['operation']> {
    this.requireOperator(actor);
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'prune');
      const now = this.deps.now();
      const input = { reason: 'manual' };
      const operation = await startOperation(db, this.deps.queue, { tenant, kind: 'prune', actor, input, now });
      await appendAudit(db, {
        actor,
        action: 'stack.prune',
        target: { kind: 'stack', id: tenant.id },
        after: { slug, operation: operation.id },
      });
      const [view] = await operationViews(db, [operation], now);
      if (!view) {
        throw new DomainError('NOT_FOUND');
      }
      return view;
    });
  }

  private requireOperator(actor: Actor): void {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
  }
}
