import { In, IsNull, MoreThan, Not } from 'typeorm';
import type { QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';
import { DomainError, ERROR_TEXT, isDomainError, type BackupReason, type BackupState } from '#libs/contracts';
import { BackupEntity, newId, TenantEntity, tx, type Database, type OperationEntity, type Tx } from '#libs/db';
import type { StackFacts } from '#libs/orchestrator';

/** Of a backup that one day may be proven, and why it was not yet. */
const PROVABLE: readonly BackupState[] = ['stored', 'verified'];

/** Throws FENCED once the operation is over; until this transaction ends, nobody ends it. */
async function stillRuns(db: Tx, operationId: string): Promise<void> {
  const rows = await db.query<unknown[]>(`select from operations where id = $1 and state = 'running' for share`, [
    operationId,
  ]);
  if (rows.length === 0) {
    throw new DomainError('FENCED', { details: { operation: operationId } });
  }
}

/** The operation's backup: begun now (`fresh`), or found as an earlier try left it. */
export async function begin(
  database: Database,
  { id: operationId, kind, input }: Pick<OperationEntity, 'id' | 'kind' | 'input'>,
  { tenantId }: StackFacts,
  now: Date,
): Promise<{ backup: BackupEntity; fresh: boolean }> {
  return tx(database, async (db) => {
    await stillRuns(db, operationId);
    const known = await db.findOneBy(BackupEntity, { operationId });
    if (known) {
      return { backup: known, fresh: false };
    }
    const tenant = await db.findOneByOrFail(TenantEntity, { id: tenantId });
    const reason: BackupReason =
      kind === 'backup' ? (input?.['reason'] === 'schedule' ? 'schedule' : 'manual') : 'safety';
    const backup = Object.assign(new BackupEntity(), {
      id: newId(),
      tenantId,
      operationId,
      state: 'taking',
      reason,
      releaseId: tenant.releaseId,
      begunAt: now,
      takenAt: null,
      sameUntil: null,
      dumpedAt: null,
      storedAt: null,
      verifiedAt: null,
      parts: [],
      manifest: null,
      error: null,
    } satisfies BackupEntity);
    await db.insert(BackupEntity, backup as QueryDeepPartialEntity<BackupEntity>);
    return { backup, fresh: true };
  });
}

/** Moves it. Throws FENCED where its operation is over, and WRONG_STATE where it is in none of those states. */
export async function moved(
  database: Database,
  { id, operationId }: Pick<BackupEntity, 'id' | 'operationId'>,
  from: readonly BackupState[],
  change: Partial<BackupEntity>,
): Promise<void> {
  await tx(database, async (db) => {
    await stillRuns(db, operationId);
    const { affected } = await db.update(
      BackupEntity,
      { id, state: In([...from]) },
      change as QueryDeepPartialEntity<BackupEntity>,
    );
    if (affected !== 1) {
      throw new DomainError('WRONG_STATE', {
        message: `The backup ${id} is not where it was left.`,
        details: { why: 'backup', backup: id },
      });
    }
  });
}

/**
 * Whether any of the stack that was begun after that one did not come to its end well, but for the one that asks: it
 * failed, has an error, or nobody goes on with it, since its agent died again and again and could note nothing.
 */
export function failedSince(
  { manager }: Database,
  { tenantId, begunAt }: Pick<BackupEntity, 'tenantId' | 'begunAt'>,
  asking: Pick<BackupEntity, 'id'>,
): Promise<boolean> {
  const later = { tenantId, begunAt: MoreThan(begunAt), id: Not(asking.id) };
  return manager.existsBy(BackupEntity, [
    { ...later, state: Not('verified') },
    { ...later, error: Not(IsNull()) },
  ]);
}

/**
 * The backup that operation began is not needed: until that moment the stack had what the other one holds. Throws
 * FENCED where the operation is over.
 */
export async function notNeeded(
  database: Database,
  { id, operationId }: Pick<BackupEntity, 'id' | 'operationId'>,
  { id: holding }: Pick<BackupEntity, 'id'>,
  sameUntil: Date,
): Promise<void> {
  await tx(database, async (db) => {
    await stillRuns(db, operationId);
    await db.delete(BackupEntity, { id, state: In(['taking', 'failed']) });
    await db.update(BackupEntity, { id: holding, state: 'verified' }, { sameUntil });
  });
}

/** Why it did not come further. What is stored whole stays so: a later try may prove it. */
export async function failed(database: Database, id: string, error: unknown, signal: AbortSignal): Promise<void> {
  const reason: unknown = signal.aborted ? signal.reason : error;
  const late = reason instanceof Error && reason.name === 'TimeoutError';
  // Taken over, or the agent stops: whoever goes on says what becomes of it.
  if (isDomainError(reason, 'FENCED') || (signal.aborted && !late && !(reason instanceof DomainError))) {
    return;
  }
  const told = late
    ? { code: 'DEADLINE_EXCEEDED' as const, message: ERROR_TEXT.DEADLINE_EXCEEDED }
    : reason instanceof DomainError
      ? { code: reason.code, message: reason.message }
      : { code: 'INTERNAL' as const, message: ERROR_TEXT.INTERNAL };
  await database.manager.update(BackupEntity, { id, state: In([...PROVABLE]) }, { error: told });
  await database.manager.update(
    BackupEntity,
    { id, state: In(['taking', 'dumped']) },
    { state: 'failed', error: told },
  );
}
