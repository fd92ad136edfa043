import type { OperationEntity, Tx } from '#libs/db';
import { BESIDE, UNTOUCHED } from './domain/operation-rules.js';
import { PAST_OPERATIONS, type PastOperation } from './domain/repair-rules.js';

const KINDS_BESIDE = Object.keys(BESIDE).map((kind) => `'${kind}'`);
const PHASES_BESIDE = Object.entries(BESIDE).flatMap(([kind, phases]) =>
  phases.map((phase) => `('${kind}', '${phase}')`),
);

/**
 * SQL: whether the operation `o` did anything to its stack. Not what was cancelled in the queue, nor what ended before
 * it came to the stack or once it had led the address back: of those nothing is to be mended, waited for or told.
 */
export const DID_SOMETHING = `(o.state not in ('failed', 'cancelled') or not (
       o.state = 'cancelled' and o.started_at is null
    or coalesce(o.error -> 'details' @> '${JSON.stringify(UNTOUCHED)}', false)
    or o.kind in (${KINDS_BESIDE.join(', ')}) and not exists (
         select from operation_steps p
          where p.operation_id = o.id and p.action is null and p.started_at is not null
            and (o.kind, p.phase) not in (${PHASES_BESIDE.join(', ')}))))`;

/** The stack's exclusive operations that did something to it, newest first: as many as rules of repair count. */
export function pastOperations(
  db: Pick<Tx, 'query'>,
  tenantId: string,
): Promise<(PastOperation & Pick<OperationEntity, 'error'>)[]> {
  return db.query(
    `select o.kind, o.state, o.finished_at as "finishedAt", o.error from operations o
      where o.tenant_id = $1 and o.exclusive and ${DID_SOMETHING}
      order by o.created_at desc, o.id desc limit $2`,
    [tenantId, PAST_OPERATIONS],
  );
}
