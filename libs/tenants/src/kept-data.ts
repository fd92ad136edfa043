import type { EntityManager } from 'typeorm';
import { countedLoss, DomainError, type Accepted, type Actor, type KeptData, type UndoRestore } from '#libs/contracts';
import { BackupEntity, tx, type TenantEntity } from '#libs/db';
import { backupViews } from './backup.repository.js';
import type { TenantDeps } from './settings.js';
import { lockStack, orderOperation } from './stack.change.js';

interface Swap {
  id: string;
  kind: 'restore' | 'undo_restore';
  backup: string;
  /** From when on the stack lives on the other data. */
  at: Date;
}

/**
 * The one that led the stack to the data it lives on, whatever became of its operation afterwards: the newest that did,
 * or may have, since it was cut off in that moment; then from its order on, so that rather too much is said to be lost
 * than nothing. One that says itself that it failed did not.
 */
async function lastSwap(db: EntityManager, tenantId: string): Promise<Swap | undefined> {
  const [swap] = await db.query<Swap[]>(
    `select o.id, o.kind, o.input ->> 'backup' as backup,
            case s.state when 'done' then s.finished_at else o.created_at end as at
       from operations o join operation_steps s on s.operation_id = o.id
      where o.tenant_id = $1 and o.kind in ('restore', 'undo_restore')
        and s.phase = 'swap' and s.action is null
      order by s.state = 'done' or (s.started_at is not null and s.state <> 'failed') desc, o.id desc limit 1`,
    [tenantId],
  );
  return swap;
}

/** What a restore took the place of, while it is kept: what an undo loses and brings back. */
export async function keptData(
  db: EntityManager,
  { id, keptEpochs }: Pick<TenantEntity, 'id' | 'keptEpochs'>,
  now: Date,
): Promise<KeptData | null> {
  if (keptEpochs.length === 0) {
    return null;
  }
  const swapped = await lastSwap(db, id);
  if (!swapped) {
    return null;
  }
  const since = swapped.at.toISOString();
  if (swapped.kind === 'undo_restore') {
    return { since, restored: null, comesBack: [] };
  }
  const chosen = await db.findOneBy(BackupEntity, { tenantId: id, id: swapped.backup });
  const safety = await db.findOneBy(BackupEntity, { tenantId: id, operationId: swapped.id });
  const [put, before] = await backupViews(
    db,
    [chosen, safety].flatMap((one) => one ?? []),
    { slugOf: () => '', now },
  );
  return {
    since,
    restored: chosen?.takenAt?.toISOString() ?? null,
    comesBack: chosen && safety && put ? countedLoss(put, before) : [],
  };
}

/**
 * Goes back to what the last restore took the place of; what is left then is kept in its turn. Throws WRONG_STATE where
 * nothing is kept any more, and TENANT_BUSY.
 */
export async function undoRestore(
  deps: TenantDeps,
  actor: Actor,
  slug: string,
  { confirm }: UndoRestore,
): Promise<Accepted> {
  if (confirm !== slug) {
    throw new DomainError('VALIDATION_FAILED', {
      details: { fields: { confirm: ['Name the stack whose restore is to be undone.'] } },
    });
  }
  return tx(deps.dataSource, async (db) => {
    const tenant = await lockStack(db, actor, slug, 'undo_restore');
    const to = tenant.keptEpochs.at(-1);
    if (to === undefined) {
      throw new DomainError('WRONG_STATE', {
        message:
          'Nothing of before a restore is kept: it goes with the next good backup. Restore a backup of before it instead.',
        details: { why: 'nothing_kept' },
      });
    }
    const kept = await keptData(db, tenant, deps.now());
    return orderOperation(db, deps, {
      tenant,
      kind: 'undo_restore',
      actor,
      input: { to, from: tenant.epoch },
      after: { loses: kept?.since ?? null },
    });
  });
}
