import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  actorName,
  DomainError,
  type Actor,
  type DesiredState,
  type RolloutCause,
  type RolloutStackState,
  type RolloutState,
} from '#libs/contracts';
import { ReleaseEntity, RolloutEntity, RolloutMoveEntity, RolloutStackEntity, type Tx } from '#libs/db';
import { isStale } from '../domain/headline.js';
import { mayMoveRollout, type RolloutMember, type RolloutSnapshot } from '../domain/rollout-rules.js';
import { cancelOperation } from '../operation.cancel.js';

/** The rollout's row, until the transaction ends nobody else's to move or to order for. */
export async function lockRollout(db: Tx, id: string): Promise<RolloutEntity> {
  const rollout = await db.findOne(RolloutEntity, { where: { id }, lock: { mode: 'pessimistic_write' } });
  if (!rollout) {
    throw noSuchRollout(id);
  }
  return rollout;
}

export function noSuchRollout(id: string): DomainError {
  return new DomainError('NOT_FOUND', { message: `There is no rollout ${id}.`, details: { rollout: id } });
}

interface Move {
  to: RolloutState;
  cause: RolloutCause;
  reason: string | null;
  actor: Actor;
  now: Date;
}

/** Moves it and writes down why. Throws LOST_RACE when it is no longer in the state it was read in. */
export async function moveRollout(db: Tx, rollout: RolloutEntity, move: Move): Promise<void> {
  const { to, cause, reason, actor } = move;
  if (!mayMoveRollout(rollout.state, to)) {
    throw new Error(`A rollout does not go from ${rollout.state} to ${to}`);
  }
  const { affected } = await db.update(RolloutEntity, { id: rollout.id, state: rollout.state }, { state: to });
  if (affected !== 1) {
    throw new DomainError('LOST_RACE');
  }
  await noteMove(db, rollout.id, { ...move, from: rollout.state });
  await appendAudit(db, {
    actor,
    action: 'rollout.move',
    target: { kind: 'rollout', id: rollout.id },
    before: { state: rollout.state },
    after: { state: to, cause, reason, release: rollout.releaseId },
  });
  Object.assign(rollout, { state: to });
  if (to === 'halted' || to === 'aborted') {
    await callOff(db, rollout.id, move);
  }
}

/** Cancels those of its upgrades that have not touched their stack: those stacks are as if they were not ordered. */
async function callOff(db: Tx, rolloutId: string, { actor, now }: Pick<Move, 'actor' | 'now'>): Promise<void> {
  const rows = await db.find(RolloutStackEntity, {
    where: { rolloutId, state: 'upgrading' },
    order: { tenantId: 'ASC' },
  });
  for (const { tenantId, operationId } of rows) {
    if (operationId !== null && (await cancelOperation(db, { id: operationId, tenantId }, { actor, now }))) {
      await db.update(RolloutStackEntity, { rolloutId, tenantId }, { why: 'cancelled' });
    }
  }
}

export async function noteMove(db: Tx, rolloutId: string, move: Move & { from: RolloutState | null }): Promise<void> {
  const seq = await db.countBy(RolloutMoveEntity, { rolloutId });
  await db.insert(RolloutMoveEntity, {
    rolloutId,
    seq,
    fromState: move.from,
    toState: move.to,
    cause: move.cause,
    reason: move.reason,
    by: actorName(move.actor),
    at: move.now,
  });
}

/**
 * Writes down how upgrades and rollbacks of the rollout ended. Twice comes to the same. What was called off, or refused
 * since the release was withdrawn, has touched nothing: its stack waits again, should the rollout go on.
 */
export async function noteOutcomes(db: Tx, rolloutId: string): Promise<void> {
  await db.query(
    `update rollout_stacks s set state = 'waiting', why = null, operation_id = null, ordered_at = null
       from operations o
      where s.rollout_id = $1 and s.state = 'upgrading' and o.id = s.operation_id
        and (o.state = 'cancelled' and s.why = 'cancelled' or o.state = 'failed' and o.error #>> '{details,why}' = 'withdrawn')`,
    [rolloutId],
  );
  await db.query(
    `update rollout_stacks s
        set state = case when o.state = 'done' then 'done' when o.state = 'cancelled' then 'skipped'
                      when o.error #> '{details,rollback}' is not null then 'rolling_back' else 'failed' end,
            why = case when o.state = 'cancelled' then 'cancelled' end,
            reason = case when o.state <> 'done' then o.error ->> 'message' end,
            rollback_id = (o.error #>> '{details,rollback}')::uuid, ended_at = o.finished_at
       from operations o
      where s.rollout_id = $1 and s.state = 'upgrading' and o.id = s.operation_id
        and o.state in ('done', 'failed', 'cancelled')`,
    [rolloutId],
  );
  await db.query(
    `update rollout_stacks s
        set state = case when o.state = 'done' then 'rolled_back' else 'failed' end,
            reason = case when o.state = 'done' then s.reason
                       else concat_ws(' ', s.reason, 'It did not go back either:', o.error ->> 'message') end
       from operations o
      where s.rollout_id = $1 and s.state = 'rolling_back' and o.id = s.rollback_id
        and o.state in ('done', 'failed', 'cancelled')`,
    [rolloutId],
  );
  // From the moment its address was led to the waiting page until it led to the stack again.
  await db.query(
    `update rollout_stacks s set outage_ms = extract(epoch from away.until - away.since) * 1000
       from (select r.tenant_id,
                    min(p.started_at) filter (where p.phase = 'unpublish' and p.operation_id = r.operation_id) as since,
                    max(p.finished_at) filter (where p.phase = 'publish' and p.state = 'done') as until
               from rollout_stacks r
               join operation_steps p on p.operation_id in (r.operation_id, r.rollback_id) and p.action is null
              where r.rollout_id = $1 and r.state in ('done', 'rolled_back') and r.outage_ms is null
              group by r.tenant_id) away
      where s.rollout_id = $1 and s.tenant_id = away.tenant_id and away.until >= away.since`,
    [rolloutId],
  );
  // Whoever takes a stack off the release again found that it does not work there; onto a newer one is not off it. The
  // last one to lead it where it is counts, and not before it is there.
  await db.query(
    `update rollout_stacks s set state = 'rolled_back', ended_at = off.at,
            reason = 'It was brought back to ' || off.release || ' by ' || off.by || '.'
       from (select distinct on (m.tenant_id) m.tenant_id, o.finished_at as at, t.release_id as release, o.requested_by as by,
                    o.input ->> 'to' as led_to
               from rollout_stacks m
               join rollouts r on r.id = m.rollout_id
               join tenants t on t.id = m.tenant_id and t.release_id <> r.release_id
               join releases was on was.id = t.release_id
               join releases wanted on wanted.id = r.release_id
               join operations o on o.tenant_id = m.tenant_id and o.finished_at > m.ended_at
                and o.kind in ('upgrade', 'rollback') and o.state = 'done'
              where m.rollout_id = $1 and m.state = 'done'
                and (t.release_id = m.from_release or was.created_at < wanted.created_at)
              order by m.tenant_id, o.finished_at desc) off
      where s.rollout_id = $1 and s.tenant_id = off.tenant_id and off.led_to = off.release`,
    [rolloutId],
  );
}

interface MemberRow {
  id: string;
  slug: string;
  engine_id: string;
  ring: number;
  state: RolloutStackState;
  ended_at: Date | null;
  rollback_id: string | null;
  release_id: string | null;
  desired: DesiredState | null;
  observed: string | null;
  observed_since: Date | null;
  checked_at: Date | null;
  broken_at: Date | null;
  suspended: boolean;
  bots_wrong: string | null;
  bots_since: Date | null;
  /** When its newest repair ended. */
  repaired_at: Date | null;
  repairing: boolean;
}

/**
 * How the stacks that were upgraded are now; of those that are to rest, or went elsewhere since, nothing is said. What
 * was seen before its upgrade ended, or too long ago, is no news. One that was repaired since is well since then: it
 * may never have been seen otherwise. One that runs is not well either while its bots do not: it looks so from outside.
 */
function standing(row: MemberRow, releaseId: string, now: Date): RolloutMember['since'] {
  const { state, release_id, desired, observed, observed_since, broken_at, suspended } = row;
  const { ended_at, checked_at, repaired_at, repairing, bots_wrong, bots_since } = row;
  if (state !== 'done' || ended_at === null || release_id !== releaseId || desired !== 'running' || suspended) {
    return null;
  }
  if (broken_at !== null) {
    return { well: false, at: broken_at };
  }
  const at = observed_since ?? ended_at;
  if (observed !== 'running') {
    return { well: checked_at === null ? null : false, at };
  }
  if (bots_wrong !== null) {
    return { well: false, at: bots_since ?? at };
  }
  const news = checked_at !== null && checked_at >= ended_at && !isStale(checked_at, now);
  return { well: news && !repairing ? true : null, at: latest(at, repaired_at, bots_since) };
}

const latest = (first: Date, ...others: (Date | null)[]): Date =>
  others.reduce<Date>((newest, one) => (one !== null && one > newest ? one : newest), first);

/** All that decides what comes next. */
export async function readSnapshot(
  db: EntityManager,
  rollout: RolloutEntity,
  { now, busy = new Set() }: { now: Date; busy?: ReadonlySet<string> },
): Promise<RolloutSnapshot> {
  const { id, state, settings, acknowledgedAt, releaseId } = rollout;
  const release = await db.findOneOrFail(ReleaseEntity, {
    select: { id: true, state: true },
    where: { id: releaseId },
  });
  const rows = await db.query<MemberRow[]>(
    `select s.tenant_id as id, s.slug, s.engine_id, s.ring, s.state, s.ended_at, s.rollback_id, s.bots_wrong, s.bots_since, t.release_id, t.desired, t.observed,
            t.observed_since, t.checked_at, h.broken_at, coalesce(h.suspended, false) as suspended, o.repaired_at,
            coalesce(o.repairing, false) as repairing
       from rollout_stacks s
       left join tenants t on t.id = s.tenant_id
       left join lateral (
         select max(created_at) filter (where reason = 'breaker') as broken_at, bool_or(reason <> 'breaker') as suspended
           from holds where tenant_id = s.tenant_id) h on true
       left join (
         select tenant_id, max(finished_at) as repaired_at, bool_or(finished_at is null) as repairing from operations
          where kind = 'repair' and (finished_at is null or finished_at > (
            select min(ended_at) from rollout_stacks where rollout_id = $1))
          group by tenant_id) o on o.tenant_id = s.tenant_id
      where s.rollout_id = $1 and s.ring is not null order by s.ring, s.place`,
    [id],
  );
  const open = await db.query<{ engine_id: string; n: number }[]>(
    `select engine_id, count(*)::int as n from operations
      where kind in ('upgrade', 'rollback') and state in ('queued', 'running') group by engine_id`,
  );
  return {
    now,
    state,
    release: { id: release.id, state: release.state },
    settings,
    acknowledgedAt,
    members: rows.map((row) => ({
      id: row.id,
      slug: row.slug,
      engineId: row.engine_id,
      ring: row.ring,
      state: row.state,
      endedAt: row.ended_at,
      rollback: row.rollback_id !== null,
      since: standing(row, releaseId, now),
    })),
    open: Object.fromEntries(open.map(({ engine_id, n }) => [engine_id, n])),
    busy,
  };
}
