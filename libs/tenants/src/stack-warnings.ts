import { IsNull } from 'typeorm';
import type { StackWarning } from '#libs/contracts';
import { StackWarningEntity, TenantEntity, tx, type Database } from '#libs/db';
import type { Queue } from '#libs/jobs';
import type { DiskUse, Warning } from './domain/stack-disk.js';

export type WarningKind = StackWarningEntity['kind'];

/** Told again after this, should it have been better meanwhile and come back. */
const TOLD_AGAIN_MS = 24 * 3_600_000;
/** A page tells of what happened within a day. */
export const END_SHOWN_MS = 24 * 3_600_000;
const RANK = { warn: 1, bad: 2 } as const;

export function warningView(row: StackWarningEntity): StackWarning {
  const { code, level, message, params, since, seenAt, heldAt } = row;
  return {
    code,
    level,
    message,
    params,
    since: since.toISOString(),
    seenAt: seenAt.toISOString(),
    heldSince: heldAt?.toISOString() ?? null,
  };
}

interface WarningDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  /** Origin of the portal, for the link in the mail. */
  portalUrl: string;
}

/**
 * Writes that it is so, and where `tell` asks for it has the owner told by mail when it became worse than what they were
 * told within a day, or came back after one. Gives the row; null where the stack is gone.
 */
export async function raiseWarning(
  { dataSource, queue, portalUrl }: WarningDeps,
  { tenantId, kind, tell }: { tenantId: string; kind: WarningKind; tell: boolean },
  warning: Warning,
  now: Date,
): Promise<StackWarningEntity | null> {
  return tx(dataSource, async (db) => {
    // Also keeps the stack from going meanwhile.
    const tenant = await db.findOne(TenantEntity, { where: { id: tenantId }, lock: { mode: 'for_key_share' } });
    if (!tenant) {
      return null;
    }
    const before = await db.findOneBy(StackWarningEntity, { tenantId, kind });
    const changed = before?.code !== warning.code || before.overAt !== null;
    const known = before?.toldLevel ?? null;
    const worse = known === null || RANK[warning.level] > RANK[known];
    const again = changed && now.getTime() - (before?.toldAt?.getTime() ?? 0) > TOLD_AGAIN_MS;
    const mail = tell && (worse || again);
    await db.upsert(
      StackWarningEntity,
      {
        tenantId,
        kind,
        ...warning,
        since: before && !changed ? before.since : now,
        seenAt: now,
        overAt: null,
        ...(mail ? { toldLevel: warning.level, toldAt: now } : {}),
      },
      ['tenantId', 'kind'],
    );
    if (mail) {
      await queue.enqueue(db, 'mail.stack-warning', { stackId: tenantId, kind, portalUrl });
    }
    return db.findOneByOrFail(StackWarningEntity, { tenantId, kind });
  });
}

/** Writes that it is so no more, whatever its stack was held for. Nobody is told. */
export async function settleWarning(
  database: Database,
  { tenantId, kind }: { tenantId: string; kind: WarningKind },
  now: Date,
): Promise<void> {
  await database.manager.update(
    StackWarningEntity,
    { tenantId, kind, overAt: IsNull() },
    { overAt: now, holdAskedAt: null, heldAt: null },
  );
}

/**
 * Ends warnings of memory that nobody saw grow for an hour, in which it may only have paused; whatever ended it then,
 * there is nothing left to warn of.
 */
export async function settleOldGrowth(database: Database, engineId: string, now: Date): Promise<void> {
  await database.query(
    `update stack_warnings w set over_at = $2 from tenants t
      where t.id = w.tenant_id and t.engine_id = $1 and w.kind = 'memory' and w.over_at is null
        and w.seen_at < $2::timestamptz - interval '1 hour'`,
    [engineId, now],
  );
}

/** Removes what is no news any more: ends of a day ago, and what was over when its owner would be told of it again. */
export async function forgetWarnings(database: Database, now: Date): Promise<void> {
  await database.query(
    `delete from stack_warnings
      where (kind = 'ended' and seen_at < $1)
         or (over_at is not null and coalesce(told_at, over_at) < $2)`,
    [new Date(now.getTime() - END_SHOWN_MS), new Date(now.getTime() - TOLD_AGAIN_MS)],
  );
}

/** One stack's disk: what was measured last, what its plan allows, and the warning it has. */
export interface StackDisk {
  tenantId: string;
  slug: string;
  /** As it was last written; null before. */
  usedBytes: number | null;
  limitGb: DiskUse['limitGb'];
  /** Whether it is to run now. */
  runs: boolean;
  warning: StackWarningEntity | null;
}

/** What the stacks of an engine take on disk and may, by a fixed number of queries. */
export async function readStackDisks(database: Database, engineId: string): Promise<StackDisk[]> {
  const rows: { id: string; slug: string; used: string | null; limit: number; runs: boolean }[] = await database.query(
    `select t.id, t.slug, u.disk_bytes as used, (t.limits ->> 'diskGb')::int as "limit",
            t.desired = 'running' and not exists (select from holds where tenant_id = t.id) as runs
       from tenants t
       left join lateral (select disk_bytes from tenant_usage
                      where tenant_id = t.id and step_seconds = 60 and disk_bytes is not null
                      order by at desc limit 1) u on true
      where t.engine_id = $1 and t.desired <> 'deleted' order by t.id`,
    [engineId],
  );
  const warnings = new Map(
    (await database.manager.findBy(StackWarningEntity, { kind: 'disk', overAt: IsNull() })).map((row) => [
      row.tenantId,
      row,
    ]),
  );
  return rows.map(({ id, slug, used, limit, runs }) => ({
    tenantId: id,
    slug,
    usedBytes: used === null ? null : Number(used),
    limitGb: limit,
    runs,
    warning: warnings.get(id) ?? null,
  }));
}
