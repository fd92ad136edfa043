import { DomainError, type Actor, type OrphanList } from '#libs/contracts';
import { OrphanEntity, type Database } from '#libs/db';
import { requireActor } from './authorise.js';

/** What operators see of objects that no stack wants. */
export class OrphanService {
  constructor(private readonly dataSource: Database) {}

  /** All of them, oldest first. Throws FORBIDDEN for anybody but an operator. */
  async list(actor: Actor): Promise<OrphanList> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const rows = await this.dataSource.manager.find(OrphanEntity, { order: { firstSeenAt: 'ASC', name: 'ASC' } });
    return {
      items: rows.map(({ engineId, kind, name, tenantId, why, firstSeenAt, lastSeenAt, removeAt }) => ({
        engine: engineId,
        kind,
        name,
        stackId: tenantId,
        why,
        firstSeenAt: firstSeenAt.toISOString(),
        lastSeenAt: lastSeenAt.toISOString(),
        removeAt: removeAt?.toISOString() ?? null,
      })),
      next: null,
    };
  }
}
