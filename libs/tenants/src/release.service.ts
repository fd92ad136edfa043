import { appendAudit } from '#libs/audit';
import {
  DomainError,
  RELEASE_MOVES,
  releaseMoves,
  type Actor,
  type ReleaseList,
  type ReleaseMove,
  type ReleaseView,
} from '#libs/contracts';
import { ReleaseEntity, UpgradeFailureEntity, tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { databaseMajorOf } from './domain/database-major.js';
import type { Template } from './domain/template.js';
import type { TenantDeps } from './settings.js';

/** Releases, as operators see and move them. */
export class ReleaseService {
  constructor(private readonly deps: Pick<TenantDeps, 'dataSource'>) {}

  /** All of them, the newest first. */
  async list(actor: Actor): Promise<ReleaseList> {
    requireOperator(actor);
    return { items: await this.views(), next: null };
  }

  async get(actor: Actor, id: string): Promise<ReleaseView> {
    requireOperator(actor);
    const [view] = await this.views(id);
    if (!view) {
      throw noSuchRelease(id);
    }
    return view;
  }

  /** Throws NOT_FOUND, and WRONG_STATE for a move there is not from its state. */
  async move(actor: Actor, id: string, move: ReleaseMove): Promise<ReleaseView> {
    requireOperator(actor);
    const { to } = RELEASE_MOVES[move];
    await tx(this.deps.dataSource, async (db) => {
      const release = await db.findOne(ReleaseEntity, { where: { id }, lock: { mode: 'pessimistic_write' } });
      if (!release) {
        throw noSuchRelease(id);
      }
      if (!releaseMoves(release.state).includes(move)) {
        throw new DomainError('WRONG_STATE', {
          message: `${id} is ${release.state}; from there it does not become ${to}.`,
          details: { state: release.state, to },
        });
      }
      await db.update(ReleaseEntity, { id, state: release.state }, { state: to });
      await appendAudit(db, {
        actor,
        action: 'release.move',
        target: { kind: 'release', id },
        before: { state: release.state },
        after: { state: to },
      });
    });
    return this.get(actor, id);
  }

  /** Lets stacks on which an upgrade to it failed be tried again. Gives how many there were. */
  async markFixed(actor: Actor, id: string): Promise<number> {
    requireOperator(actor);
    return tx(this.deps.dataSource, async (db) => {
      const release = await db.findOneBy(ReleaseEntity, { id });
      if (!release) {
        throw noSuchRelease(id);
      }
      const { affected } = await db.delete(UpgradeFailureEntity, { toRelease: id });
      await appendAudit(db, {
        actor,
        action: 'release.fixed',
        target: { kind: 'release', id },
        after: { stacks: affected ?? 0 },
      });
      return affected ?? 0;
    });
  }

  private async views(id?: string): Promise<ReleaseView[]> {
    const rows = await this.deps.dataSource.query<ReleaseRow[]>(
      `select r.id, r.template, r.version, r.state, r.notes, r.images, r.created_at as "createdAt", r.definition,
              (select count(*)::int from tenants where release_id = r.id) as stacks,
              (select count(*)::int from upgrade_failures where to_release = r.id) as failed
         from releases r where $1::text is null or r.id = $1 order by r.created_at desc, r.id`,
      [id ?? null],
    );
    return rows.map(({ definition, createdAt, ...row }) => ({
      ...row,
      createdAt: createdAt.toISOString(),
      databaseMajor: databaseMajorOf(definition),
    }));
  }
}

type ReleaseRow = Omit<ReleaseView, 'createdAt' | 'databaseMajor'> & { createdAt: Date; definition: Template };

export function noSuchRelease(id: string): DomainError {
  return new DomainError('NOT_FOUND', { message: `There is no release ${id}.`, details: { release: id } });
}

function requireOperator(actor: Actor): void {
  if (requireActor(actor).kind !== 'operator') {
    throw new DomainError('FORBIDDEN');
  }
}
