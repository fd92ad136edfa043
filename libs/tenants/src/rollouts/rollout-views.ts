import type { EntityManager } from 'typeorm';
import {
  isRolloutOver,
  type RolloutCounts,
  type RolloutReport,
  type RolloutRing,
  type RolloutStackState,
  type RolloutView,
} from '#libs/contracts';
import { RolloutMoveEntity, RolloutStackEntity, type RolloutEntity } from '#libs/db';
import { nextRolloutStep, rolloutBudget, type RolloutSnapshot } from '../domain/rollout-rules.js';
import { readSnapshot } from './rollout-rows.js';

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

interface RingRow {
  ring: number | null;
  states: Partial<Record<RolloutStackState, number>>;
  begun_at: Date | null;
  ended_at: Date | null;
  median: number | null;
  p95: number | null;
}

const OPEN: readonly RolloutStackState[] = ['upgrading', 'rolling_back'];

function countsOf(states: RingRow['states'], unwell: number): RolloutCounts {
  const of = (state: RolloutStackState): number => states[state] ?? 0;
  return {
    total: Object.values(states).reduce((sum, n) => sum + n, 0),
    waiting: of('waiting'),
    open: OPEN.reduce((sum, state) => sum + of(state), 0),
    done: of('done'),
    unwell,
    rolledBack: of('rolled_back'),
    failed: of('failed'),
    skipped: of('skipped'),
  };
}

function summed(all: readonly RolloutCounts[]): RolloutCounts {
  const sum = (of: keyof RolloutCounts): number => all.reduce((total, one) => total + one[of], 0);
  return {
    total: sum('total'),
    waiting: sum('waiting'),
    open: sum('open'),
    done: sum('done'),
    unwell: sum('unwell'),
    rolledBack: sum('rolledBack'),
    failed: sum('failed'),
    skipped: sum('skipped'),
  };
}

function ringRows(db: EntityManager, rolloutId: string): Promise<RingRow[]> {
  return db.query<RingRow[]>(
    `select ring, jsonb_object_agg(state, n) as states, min(begun_at) as begun_at, max(ended_at) as ended_at,
            max(median)::int as median, max(p95)::int as p95
       from (select ring, state, count(*)::int as n, min(ordered_at) as begun_at, max(ended_at) as ended_at
               from rollout_stacks where rollout_id = $1 group by ring, state) by_state
       left join lateral (
         select percentile_cont(0.5) within group (order by outage_ms) as median,
                percentile_cont(0.95) within group (order by outage_ms) as p95
           from rollout_stacks where rollout_id = $1 and ring = by_state.ring) away on true
      group by ring order by ring nulls last`,
    [rolloutId],
  );
}

function ringView(row: RingRow & { ring: number }, { members }: RolloutSnapshot): RolloutRing {
  const unwell = members.filter(({ ring, since }) => ring === row.ring && since?.well === false).length;
  const counts = countsOf(row.states, unwell);
  const over = counts.waiting === 0 && counts.open === 0;
  return {
    ...counts,
    ring: row.ring,
    begunAt: iso(row.begun_at),
    endedAt: over ? iso(row.ended_at) : null,
    outageMs: row.median === null || row.p95 === null ? null : { median: row.median, p95: row.p95 },
  };
}

export async function rolloutView(db: EntityManager, rollout: RolloutEntity, now: Date): Promise<RolloutView> {
  const moves = await db.find(RolloutMoveEntity, { where: { rolloutId: rollout.id }, order: { seq: 'ASC' } });
  const last = moves.at(-1);
  if (!last) {
    throw new Error(`The rollout ${rollout.id} has no first move`);
  }
  const snapshot = await readSnapshot(db, rollout, { now });
  const rows = await ringRows(db, rollout.id);
  const rings = rows.flatMap((row) => (row.ring === null ? [] : [ringView({ ...row, ring: row.ring }, snapshot)]));
  const before = rows.filter(({ ring }) => ring === null).map(({ states }) => countsOf(states, 0));
  const step = nextRolloutStep(snapshot);
  const { failures, allowed, newest } = rolloutBudget(snapshot);
  return {
    id: rollout.id,
    template: rollout.template,
    release: rollout.releaseId,
    selection: rollout.selection,
    settings: rollout.settings,
    state: rollout.state,
    since: last.at.toISOString(),
    cause: last.cause,
    reason: last.reason,
    createdBy: rollout.createdBy,
    createdAt: rollout.createdAt.toISOString(),
    begunAt: iso(moves.find(({ toState }) => toState === 'running')?.at ?? null),
    endedAt: isRolloutOver(rollout.state) ? last.at.toISOString() : null,
    waits: step.kind === 'wait' ? { for: step.for, until: iso(step.until) } : null,
    budget: { failures: failures.length, allowed, newest: iso(newest) },
    counts: summed([...rings, ...before]),
    rings,
    moves: moves.map(({ at, fromState, toState, cause, reason, by }) => ({
      at: at.toISOString(),
      from: fromState,
      to: toState,
      cause,
      reason,
      by,
    })),
  };
}

interface ReportQuery {
  /** Place of the last row of the page before. */
  after?: number;
  state?: RolloutStackState;
  limit: number;
}

export async function rolloutReport(
  db: EntityManager,
  rolloutId: string,
  { after, state, limit }: ReportQuery,
): Promise<RolloutReport> {
  const query = db
    .createQueryBuilder(RolloutStackEntity, 'stack')
    .where('stack.rolloutId = :rolloutId', { rolloutId })
    .orderBy('stack.place')
    .limit(limit + 1);
  if (after !== undefined) {
    query.andWhere('stack.place > :after', { after });
  }
  if (state !== undefined) {
    query.andWhere('stack.state = :state', { state });
  }
  const found = await query.getMany();
  const page = found.slice(0, limit);
  return {
    items: page.map((row) => ({
      slug: row.slug,
      engine: row.engineId,
      from: row.fromRelease,
      ring: row.ring,
      state: row.state,
      operationId: row.operationId,
      rollbackId: row.rollbackId,
      orderedAt: iso(row.orderedAt),
      endedAt: iso(row.endedAt),
      outageMs: row.outageMs,
      why: row.why,
      reason: row.reason ?? row.botsWrong,
    })),
    next: found.length > limit ? String(page.at(-1)?.place) : null,
  };
}
