import { randomUUID } from 'node:crypto';
import { ERROR_TEXT, type OperationKind } from '#libs/contracts';
import { OperationEntity, OperationStepEntity, tx, type Tx } from '#libs/db';
import { LANE_OF } from './domain/operation-rules.js';
import { endHalfWay, type Left } from './half-way.js';
import type { TenantDeps } from './settings.js';

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

type Deps = Pick<TenantDeps, 'dataSource' | 'queue'>;

interface Expired {
  id: string;
  slug: string;
  kind: OperationKind;
}

const NOBODY_ENDED = 'The agent that began this did not come to an end in time, so it was ended.';

/** Why it was ended, and what comes next. A rollback is not asked for: what it was to do, a look does as a repair. */
function wordsOf({ kind, startedAt }: OperationEntity, left: Left | null): string {
  if (startedAt === null) {
    const next =
      kind === 'rollback' ? 'The stack is put right once that is mended.' : 'Ask for it again once that is mended.';
    return `No agent took this up in time. Operators see why with: aviary doctor. ${next}`;
  }
  if (left === 'going_back') {
    return `${NOBODY_ENDED} The stack goes back to what it was.`;
  }
  if (left === 'half_way' && kind === 'upgrade') {
    return `${NOBODY_ENDED} The stack is on its new release and stays there.`;
  }
  return kind === 'rollback'
    ? `${NOBODY_ENDED} The stack is put right by itself.`
    : `${NOBODY_ENDED} Ask for it again.`;
}

/**
 * Ends operations that nobody ended: no agent took them up, or the one that did hangs. One that waits its turn is not
 * ended. Its holder is fenced off and can do nothing more; what it left half-way is led back as `endHalfWay` says. What
 * is seen of the stack is left to whoever sees it. Returns those it ended; throws AggregateError of those it could not end,
 * once it went through all.
 */
export async function expireOperations({ dataSource, queue }: Deps, now: Date): Promise<Expired[]> {
  const limit = new Date(now.getTime() - EXPIRE_AFTER_MS);
  const open = await dataSource.query<{ id: string; tenant_id: string }[]>(
    `select id, tenant_id from operations o
      where state in ('queued', 'running') and deadline_at < $4 and not ${WAITS_ITS_TURN} order by deadline_at`,
    [now, LANE_OF, new Date(now.getTime() - NEXT_BEGINS_MS), limit],
  );
  const ended: Expired[] = [];
  const failures: unknown[] = [];
  for (const { id, tenant_id: tenantId } of open) {
    try {
      const expired = await tx(dataSource, async (db) => {
        // In the order of everybody: the stack's row first.
        await db.query('select from tenants where id = $1 for update', [tenantId]);
        return expire(db, queue, { id, limit, now });
      });
      ended.push(...(expired === null ? [] : [expired]));
    } catch (error) {
      // It stays first in the order, and must not keep those behind it from their end.
      failures.push(new Error(`The operation ${id} could not be ended.`, { cause: error }));
    }
  }
  if (failures.length > 0) {
    throw new AggregateError(failures, `${failures.length} operations could not be ended, ${ended.length} were.`);
  }
  return ended;
}

/** Null where it ended meanwhile, or has its whole time again since it was begun. */
async function expire(
  db: Tx,
  queue: Deps['queue'],
  { id, limit, now }: { id: string; limit: Date; now: Date },
): Promise<Expired | null> {
  const [, moved] = await db.query<[unknown, number]>(
    `update operations
        set state = 'failed', finished_at = $2, fencing = fencing + 1, lease_owner = null, lease_expires_at = null,
            error = jsonb_build_object('code', 'DEADLINE_EXCEEDED', 'errorId', $4::text, 'message', $5::text,
              'details', jsonb_build_object(
                'why', case when started_at is null then 'nobody_began' else 'nobody_ended' end, 'kind', kind))
      where id = $1 and state in ('queued', 'running') and deadline_at < $3`,
    [id, now, limit, randomUUID(), NOBODY_ENDED],
  );
  if (moved !== 1) {
    return null;
  }
  await db.query(
    `update backups set state = 'failed', error = jsonb_build_object('code', 'DEADLINE_EXCEEDED', 'message', $2::text)
      where operation_id = $1 and state in ('taking', 'dumped')`,
    [id, ERROR_TEXT.DEADLINE_EXCEEDED],
  );
  await db
    .createQueryBuilder()
    .update(OperationStepEntity)
    .set({ state: 'skipped', finishedAt: now })
    .where(`operationId = :id and state in ('pending', 'running')`, { id })
    .execute();
  const operation = await db.findOneByOrFail(OperationEntity, { id });
  const { slug, kind, error } = operation;
  const left = error && (await endHalfWay(db, queue, { operation, error, now }));
  await db.query(`update operations set error = jsonb_set(error, '{message}', to_jsonb($2::text)) where id = $1`, [
    id,
    wordsOf(operation, left),
  ]);
  return { id, slug, kind };
}
