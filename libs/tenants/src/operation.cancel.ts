import { appendAudit } from '#libs/audit';
import type { Actor } from '#libs/contracts';
import { OperationEntity, OperationStepEntity, TenantEntity, type Tx } from '#libs/db';
import { crossingOf, mayCancel, type PhaseName } from './domain/operation-rules.js';
import { phaseOf } from './operation.repository.js';

type Named = Pick<OperationEntity, 'id' | 'tenantId'>;

/**
 * The one way an operation is cancelled. A queued one is over at once and what was wanted before it is wanted again; a
 * running one is asked to end at its next safe point. False, and nothing is changed, where ending it would leave harm
 * behind or it is over.
 */
export async function cancelOperation(
  db: Tx,
  { id, tenantId }: Named,
  { actor, now }: { actor: Actor; now: Date },
): Promise<boolean> {
  await lockStackOf(db, tenantId);
  const operation = await db.findOneBy(OperationEntity, { id });
  if (!operation || !(await isCancellable(db, operation))) {
    return false;
  }
  const { kind, slug } = operation;
  const ended = await db
    .createQueryBuilder()
    .update(OperationEntity)
    .set({
      state: 'cancelled',
      finishedAt: now,
      error: {
        code: 'OPERATION_CANCELLED',
        message: 'Cancelled before it began.',
        errorId: id,
        details: { why: 'before_start' },
      },
    })
    .where('id = :id and state = :from', { id, from: 'queued' })
    .execute();
  if (ended.affected === 0) {
    // It may have begun since it was looked at, and some may not be cancelled then.
    if (!(await isCancellable(db, { id, kind, state: 'running' }))) {
      return false;
    }
    const asked = await db
      .createQueryBuilder()
      .update(OperationEntity)
      // One that waits for its engine is taken up at once, to end.
      .set({ cancelRequestedAt: now, notBefore: null })
      .where('id = :id and state = :from', { id, from: 'running' })
      .execute();
    if (asked.affected === 0) {
      return false;
    }
  } else {
    await undoRequest(db, operation, now);
  }
  await appendAudit(db, {
    actor,
    action: 'operation.cancel',
    target: { kind: 'operation', id },
    after: { kind, slug },
  });
  return true;
}

/**
 * Whether somebody called it off before it comes to the stack itself with that phase. Behind the stack's row, as who
 * cancels: a cancel that was accepted is heard here, though no turn of the lease saw it, and one that comes later finds
 * the phase before at its end and is refused.
 */
export async function isCalledOff(
  db: Tx,
  { id, tenantId, fencing }: Named & Pick<OperationEntity, 'fencing'>,
  phase: PhaseName,
): Promise<boolean> {
  await lockStackOf(db, tenantId);
  const found = await db.query<unknown[]>(
    `select 1 from operations o join operation_steps s on s.operation_id = o.id
      where o.id = $1 and o.fencing = $2 and o.cancel_requested_at is not null
        and s.phase = $3 and s.action is null and s.state = 'pending'`,
    [id, fencing, phase],
  );
  return found.length > 0;
}

/** In the order of everybody: the stack's row first. */
async function lockStackOf(db: Tx, tenantId: string): Promise<void> {
  await db.query('select from tenants where id = $1 for update', [tenantId]);
}

async function isCancellable(
  db: Tx,
  { id, kind, state }: Pick<OperationEntity, 'id' | 'kind' | 'state'>,
): Promise<boolean> {
  return mayCancel(kind, state, await phaseOf(db, id));
}

/** Why that one cannot be cancelled, in words for who asked. */
export function whyNotCancelled({ kind, state }: Pick<OperationEntity, 'kind' | 'state'>): string {
  return state === 'running' && crossingOf(kind) !== null
    ? `The ${kind} changes the stack by now, and ending it there would leave the stack half-way. It goes on to its end.`
    : `A ${kind} that is ${state} cannot be cancelled.`;
}

/** Nothing was done yet, so what was wanted before is what is wanted again. */
async function undoRequest(db: Tx, operation: OperationEntity, now: Date): Promise<void> {
  await db.update(
    OperationStepEntity,
    { operationId: operation.id, state: 'pending' },
    { state: 'skipped', finishedAt: now },
  );
  if (operation.desiredBefore !== null) {
    await db.update(TenantEntity, { id: operation.tenantId }, { desired: operation.desiredBefore });
  }
}
