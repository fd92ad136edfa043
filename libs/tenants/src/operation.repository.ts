import { In, IsNull, Not, type EntityManager } from 'typeorm';
import type { OperationKind, OperationView, StepView } from '#libs/contracts';
import { OperationEntity, OperationStepEntity } from '#libs/db';
import { outageOf, type PhaseName } from './domain/operation-rules.js';

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

/** Below three finished runs a median says nothing. */
const MEDIAN_OF_AT_LEAST = 3;
const MEDIAN_OVER_LAST = 20;

async function usualDurations(db: EntityManager, kinds: readonly OperationKind[]): Promise<Map<string, number>> {
  const rows = await db.query<{ kind: string; usual: string }[]>(
    `select k.kind, percentile_cont(0.5) within group (order by d.ms)::text as usual
       from unnest($1::text[]) as k(kind)
       cross join lateral (
         select extract(epoch from finished_at - started_at) * 1000 as ms from operations
          where kind = k.kind and state = 'done' and started_at is not null
          order by finished_at desc limit ${MEDIAN_OVER_LAST}) as d
      group by k.kind having count(*) >= ${MEDIAN_OF_AT_LEAST}`,
    [kinds],
  );
  return new Map(rows.map((row) => [row.kind, Math.round(Number(row.usual))]));
}

/** Median of the last runs of that kind, in milliseconds; null before there are three. */
export async function usualDuration(db: EntityManager, kind: OperationKind): Promise<number | null> {
  return (await usualDurations(db, [kind])).get(kind) ?? null;
}

function stepView(row: OperationStepEntity): StepView {
  return {
    seq: row.seq,
    phase: row.phase,
    action: row.action,
    target: row.target,
    state: row.state,
    startedAt: iso(row.startedAt),
    finishedAt: iso(row.finishedAt),
    detail: row.detail,
  };
}

/** Views of operations with their steps, by two queries more than the rows themselves. */
export async function operationViews(
  db: EntityManager,
  rows: readonly OperationEntity[],
  now: Date,
): Promise<OperationView[]> {
  if (rows.length === 0) {
    return [];
  }
  const steps = await db
    .createQueryBuilder(OperationStepEntity, 'step')
    .where('step.operationId in (:...ids)', { ids: rows.map((row) => row.id) })
    .orderBy('step.seq')
    .getMany();
  const usual = await usualDurations(db, [...new Set(rows.map((row) => row.kind))]);
  const stepsOf = Map.groupBy(steps, (step) => step.operationId);
  return rows.map((row) => ({
    id: row.id,
    stackId: row.tenantId,
    slug: row.slug,
    kind: row.kind,
    state: row.state,
    overdue: ['queued', 'running'].includes(row.state) && row.deadlineAt < now,
    requestedBy: row.requestedBy,
    createdAt: row.createdAt.toISOString(),
    startedAt: iso(row.startedAt),
    finishedAt: iso(row.finishedAt),
    usualMs: usual.get(row.kind) ?? null,
    outageMs: outageOf(stepsOf.get(row.id) ?? []),
    steps: (stepsOf.get(row.id) ?? []).map(stepView),
    error: row.error,
  }));
}

export async function openOperations(
  db: EntityManager,
  tenantIds: readonly string[],
  now: Date,
): Promise<OperationView[]> {
  const rows = await db
    .createQueryBuilder(OperationEntity, 'operation')
    .where('operation.tenantId in (:...ids)', { ids: tenantIds })
    .andWhere(`operation.state in ('queued', 'running') and operation.exclusive`)
    .getMany();
  return operationViews(db, rows, now);
}

/** The first phase that is not done: what it is in, or goes on with. Null once all are. */
export async function phaseOf(db: EntityManager, operationId: string): Promise<PhaseName | null> {
  const step = await db.findOne(OperationStepEntity, {
    where: { operationId, action: IsNull(), state: Not(In(['done', 'skipped'])) },
    order: { seq: 'ASC' },
  });
  return (step?.phase as PhaseName | undefined) ?? null;
}

interface OperationFilter {
  accountId: string | null;
  slug?: string;
  state?: string;
  after?: string;
  limit: number;
}

export async function findOperations(db: EntityManager, filter: OperationFilter): Promise<OperationEntity[]> {
  const query = db.createQueryBuilder(OperationEntity, 'operation').orderBy('operation.id', 'DESC').limit(filter.limit);
  if (filter.accountId !== null) {
    query.andWhere('operation.accountId = :account', { account: filter.accountId });
  }
  if (filter.slug !== undefined) {
    query.andWhere('operation.slug = :slug', { slug: filter.slug });
  }
  if (filter.state !== undefined) {
    query.andWhere('operation.state = :state', { state: filter.state });
  }
  if (filter.after !== undefined) {
    query.andWhere('operation.id < :after', { after: filter.after });
  }
  return query.getMany();
}
