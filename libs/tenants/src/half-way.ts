import type { ErrorBody } from '#libs/contracts';
import type { OperationEntity, Tx } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { isUntouched } from './domain/operation-rules.js';
import { DID_SOMETHING } from './past-operations.js';
import { startRollback } from './roll-back.js';

/**
 * What an operation that ended without success leaves of its stack: `alone`, it did nothing to it; `untouched`, it led
 * the address away and led it back; `going_back`, a rollback does the rest; `half_way`, what it was brought to stays.
 */
export type Left = 'alone' | 'untouched' | 'going_back' | 'half_way';

/**
 * What becomes of the stack of an operation that ended without success, whoever ended it, in the transaction that did and
 * behind the stack's row. An upgrade that came to the stack is led back, and its own row says by which operation.
 */
export async function endHalfWay(
  db: Tx,
  queue: Pick<Queue, 'enqueue'>,
  { operation, error, now }: { operation: OperationEntity; error: Pick<ErrorBody, 'message' | 'details'>; now: Date },
): Promise<Left> {
  if (isUntouched(error)) {
    return 'untouched';
  }
  const touched = await db.query<unknown[]>(`select from operations o where o.id = $1 and ${DID_SOMETHING}`, [
    operation.id,
  ]);
  if (touched.length === 0) {
    return 'alone';
  }
  const rollback =
    operation.kind === 'upgrade' ? await startRollback(db, queue, { upgrade: operation, error, now }) : null;
  if (rollback === null) {
    return 'half_way';
  }
  await db.query(
    `update operations set error = jsonb_set(error, '{details,rollback}', to_jsonb($2::text)) where id = $1`,
    [operation.id, rollback],
  );
  return 'going_back';
}
