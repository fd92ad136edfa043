import { randomUUID } from 'node:crypto';
import { ERROR_TEXT, type OperationKind } from '#libs/contracts';
import { OperationStepEntity, tx, type Database } from '#libs/db';
import { LANE_OF } from './domain/operation-rules.js';

/**
 * How long an operation may stay open beyond its deadline. Its worker ends it at the deadline itself, and one that
 * waits for its engine gives up after a quarter of an hour; whatever is open longer has nobody.
 */
export const EXPIRE_AFTER_MS = 30 * 60_000;

/** Between the end of one and the beginning of the next of those that wait together. */
const NEXT_BEGINS_MS = 5 * 60_000;

/**
 * Of an operation `o`: it waits for a place with others ($2) behind one that is at work on an engine whose agent lives
 * ($1), or was a moment ago ($3). Its time begins with its work.
 */
const WAITS_ITS_TURN = `(o.started_at is null
  and exists (select from engine_leases l where l.engine_id = o.engine_id and l.expires_at > $1::timestamptz)
  and exists (select from operations b
               where b.engine_id = o.engine_id and b.started_at is not null and $2::jsonb ->> b.kind = $2::jsonb ->> o.kind
                 and (b.state = 'running' and b.lease_expires_at > $1::timestamptz or b.finished_at > $3::timestamptz)))`;

interface Expired {
  id: string;
  slug: string;
  kind: OperationKind;
}

/**
 * Ends operations that nobody ended: no agent took them up, or the one that did hangs. One that waits its turn is not ended. Its holder is fenced off and can
 * do nothing more. What is seen of the stack is left to whoever sees it. Returns those it ended.
 */
export async function expireOperations(database: Database, now: Date): Promise<Expired[]> {
  const limit = new Date(now.getTime() - EXPIRE_AFTER_MS);
  const open = await database.query<{ id: string; tenant_id: string }[]>(
    `select id, tenant_id from operations o
      where state in ('queued', 'running') and deadline_at < $4 and not ${WAITS_ITS_TURN} order by deadline_at`,
    [now, LANE_OF, new Date(now.getTime() - NEXT_BEGINS_MS), limit],
  );
  const ended: Expired[] = [];
  for (const { id, tenant_id: tenantId } of open) {
    await tx(database, async (db) => {
      // In the order of everybody: the stack's row first.
      await db.query('select from tenants where id = $1 for update', [tenantId]);
      const [rows] = await db.query<[Expired[], number]>(
        `update operations
            set state = 'failed', finished_at = $2, fencing = fencing + 1, lease_owner = null, lease_expires_at = null,
                error = jsonb_build_object('code', 'DEADLINE_EXCEEDED', 'errorId', $4::text, 'details',
                  jsonb_build_object('why', case when started_at is null then 'nobody_began' else 'nobody_ended' end, 'kind', kind),
                  'message', case when started_at is null
                    then 'No agent took this up in time. Operators see why with: aviary doctor. Ask for it again once that is mended.'
                    else 'The agent that began this did not come to an end in time, so it was ended. Ask for it again.' end)
          where id = $1 and state in ('queued', 'running') and deadline_at < $3
          returning id, slug, kind`,
        [id, now, limit, randomUUID()],
      );
      for (const row of rows) {
        await db.query(
          `update backups set state = 'failed', error = jsonb_build_object('code', 'DEADLINE_EXCEEDED', 'message', $2::text)
            where operation_id = $1 and state in ('taking', 'dumped')`,
          [row.id, ERROR_TEXT.DEADLINE_EXCEEDED],
        );
        await db
          .createQueryBuilder()
          .update(OperationStepEntity)
          .set({ state: 'skipped', finishedAt: now })
          .where(`operationId = :id and state in ('pending', 'running')`, { id })
          .execute();
        ended.push(row);
      }
    });
  }
  return ended;
}
