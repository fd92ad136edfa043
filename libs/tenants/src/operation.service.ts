import { DomainError, type Actor, type OperationList, type OperationView } from '#libs/contracts';
import { OperationEntity, tx } from '#libs/db';
import { ownerScope } from './authorise.js';
import { cancelOperation, whyNotCancelled } from './operation.cancel.js';
import { findOperations, operationViews } from './operation.repository.js';
import type { TenantDeps } from './settings.js';

export interface OperationListQuery {
  cursor?: string;
  limit?: number;
  slug?: string;
  state?: string;
}

const PAGE = 50;

export class OperationService {
  constructor(private readonly deps: Pick<TenantDeps, 'dataSource' | 'now'>) {}

  async list(actor: Actor, query: OperationListQuery = {}): Promise<OperationList> {
    const limit = Math.min(Math.max(query.limit ?? PAGE, 1), PAGE);
    const db = this.deps.dataSource.manager;
    const found = await findOperations(db, {
      accountId: ownerScope(actor),
      limit: limit + 1,
      ...(query.slug === undefined ? {} : { slug: query.slug }),
      ...(query.state === undefined ? {} : { state: query.state }),
      ...(query.cursor === undefined ? {} : { after: query.cursor }),
    });
    const page = found.slice(0, limit);
    return {
      items: await operationViews(db, page, this.deps.now()),
      next: found.length > limit ? (page.at(-1)?.id ?? null) : null,
    };
  }

  async get(actor: Actor, id: string): Promise<OperationView> {
    const db = this.deps.dataSource.manager;
    const [view] = await operationViews(db, [await this.find(actor, id)], this.deps.now());
    if (!view) {
      throw new DomainError('NOT_FOUND');
    }
    return view;
  }

  /**
   * Asks for an end. A queued operation is cancelled at once and what was wanted before it is
   * wanted again; a running one ends at its next safe point. Throws
   * WRONG_STATE for what is over or would leave harm behind, also where it came to that just now.
   */
  async cancel(actor: Actor, id: string): Promise<OperationView> {
    const found = await this.find(actor, id);
    if (!(await tx(this.deps.dataSource, (db) => cancelOperation(db, found, { actor, now: this.deps.now() })))) {
      const { kind, state } = await this.find(actor, id);
      throw new DomainError('WRONG_STATE', {
        message: whyNotCancelled({ kind, state }),
        details: { why: 'not_cancellable', kind, state },
      });
    }
    return this.get(actor, id);
  }

  private async find(actor: Actor, id: string): Promise<OperationEntity> {
    const account = ownerScope(actor);
    const row = await this.deps.dataSource.manager.findOneBy(
      OperationEntity,
      account === null ? { id } : { id, accountId: account },
    );
    if (!row) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such operation, or it is not yours.' });
    }
    return row;
  }
}
