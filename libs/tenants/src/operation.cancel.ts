import { appendAudit } from '#libs/audit';
import { DomainError, type Actor } from '#libs/contracts';
import { OperationEntity, OperationStepEntity, TenantEntity, type Tx } from '#libs/db';

/**
 * The one way an operation is cancelled, for whoever found that it may be. A queued one is over at once and what was
 * wanted before it is wanted again; a running one is asked to end at its next safe point. Throws LOST_RACE for what
 * ended meanwhile.
 */
export async function cancelOperation(
  db: Tx,
  operation: OperationEntity,
  { actor, now }: { actor: Actor; now: Date },
): Promise<void> {
  const { id, kind, slug, tenantId } = operation;
  // In the order of everybody: the stack's row first.
  await db.query('select from tenants where id = $1 for update', [tenantId]);
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
    const asked = await db
      .createQueryBuilder()
      .update(OperationEntity)
      // One that waits for its engine is taken up at once, to end.
      .set({ cancelRequestedAt: now, notBefore: null })
      .where('id = :id and state = :from', { id, from: 'running' })
      .execute();
    if (asked.affected === 0) {
      throw new DomainError('LOST_RACE', { message: 'The operation ended just now.', details: { why: 'ended' } });
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
