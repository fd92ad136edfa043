import { In, LessThan, type EntityManager } from 'typeorm';
import { z } from 'zod';
import { DomainError, type BackupView, type StackView } from '#libs/contracts';
import { BackupEntity, ReleaseEntity, type TenantEntity } from '#libs/db';
import { databaseMajorOf, requireLoadable } from './domain/database-major.js';
import { isHeldForSafety } from './domain/retention.js';
import type { Template } from './domain/template.js';

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** What a page shows of a manifest; one that another version wrote otherwise shows no figures. */
const countedSchema = z.object({
  logs: z.array(z.unknown()).optional(),
  databases: z.array(z.object({ tables: z.array(z.object({ schema: z.string(), name: z.string(), rows: z.int() })) })),
});

export const noSuchBackup = (id: string, slug: string): DomainError =>
  new DomainError('NOT_FOUND', { message: `There is no backup ${id} of ${slug}.` });

/** That backup of the stack. Throws NOT_FOUND, and WRONG_STATE for one that was not restored and checked. */
export async function requireVerified(
  db: EntityManager,
  { id: tenantId, slug }: Pick<TenantEntity, 'id' | 'slug'>,
  id: string,
): Promise<BackupEntity & { takenAt: Date }> {
  const backup = await db.findOneBy(BackupEntity, { id, tenantId });
  if (!backup) {
    throw noSuchBackup(id, slug);
  }
  const { state, takenAt } = backup;
  if (state !== 'verified' || takenAt === null) {
    throw new DomainError('WRONG_STATE', {
      message: 'This backup was not restored and checked, so it does not count. Choose one that was.',
      details: { why: 'not_verified', state },
    });
  }
  return Object.assign(backup, { takenAt });
}

const serversSchema = z.object({ databases: z.array(z.object({ server: z.string() })) });

/** Throws WRONG_STATE where that backup was taken with a later major version of the database than the stack has. */
export async function requireReadable(
  db: EntityManager,
  { releaseId }: Pick<TenantEntity, 'releaseId'>,
  manifest: object | null,
): Promise<void> {
  const taken = serversSchema.safeParse(manifest);
  if (taken.success) {
    const { definition } = await db.findOneByOrFail(ReleaseEntity, { id: releaseId });
    requireLoadable(
      taken.data.databases.map(({ server }) => server),
      databaseMajorOf(definition as Template),
    );
  }
}

/** Newest first: ids grow with time. */
export function findBackups(
  db: EntityManager,
  tenantId: string,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<BackupEntity[]> {
  return db.find(BackupEntity, {
    where: { tenantId, ...(after === undefined ? {} : { id: LessThan(after) }) },
    order: { id: 'DESC' },
    take: limit,
  });
}

export async function backupViews(
  db: EntityManager,
  rows: readonly BackupEntity[],
  { slugOf, now }: { slugOf: (tenantId: string) => string; now: Date },
): Promise<BackupView[]> {
  const releases = await db.find(ReleaseEntity, {
    select: { id: true, version: true },
    where: { id: In([...new Set(rows.map(({ releaseId }) => releaseId))]) },
  });
  return rows.map((row) => {
    const counted = countedSchema.safeParse(row.manifest);
    const tables = counted.success ? counted.data.databases.flatMap((database) => database.tables) : null;
    return {
      id: row.id,
      slug: slugOf(row.tenantId),
      operationId: row.operationId,
      state: row.state,
      reason: row.reason,
      release: releases.find(({ id }) => id === row.releaseId)?.version ?? '',
      takenAt: iso(row.takenAt),
      sameUntil: iso(row.sameUntil),
      begunAt: row.begunAt.toISOString(),
      dumpedAt: iso(row.dumpedAt),
      storedAt: iso(row.storedAt),
      verifiedAt: iso(row.verifiedAt),
      bytes: row.parts.length === 0 ? null : sum(row.parts.map(({ bytes }) => bytes)),
      addedBytes: row.parts.length === 0 ? null : sum(row.parts.map(({ addedBytes }) => addedBytes)),
      tables: tables?.length ?? null,
      rows: tables && sum(tables.map((table) => table.rows)),
      counts:
        tables &&
        Object.fromEntries(
          tables.map(({ schema, name, rows: count }) => [schema === 'public' ? name : `${schema}.${name}`, count]),
        ),
      error: row.error && { code: row.error.code, message: row.error.message },
      logs: counted.success && (counted.data.logs ?? []).length > 0,
      held: isHeldForSafety(row, now),
    };
  });
}

/**
 * Per stack the newest backup that counts, with the moment until which it holds what the stack had, and the newest whose end is known. One that lies stored whole with an error
 * could not be proven, so it failed too; one that gave way to what somebody asked for did not.
 */
export const NEWEST = `
  left join lateral (select b.id, greatest(b.taken_at, b.same_until) as taken_at, b.verified_at, b.same_until
    from backups b
    where b.tenant_id = t.id and b.state = 'verified' order by 2 desc limit 1) good on true
  left join lateral (select b.id, b.state = 'failed' or b.error is not null as failed from backups b
    where b.tenant_id = t.id and (b.state in ('verified', 'failed') or b.error is not null)
      and coalesce(b.error ->> 'code', '') <> 'OPERATION_CANCELLED'
    order by b.id desc limit 1) ended on true`;

/** How it stands with the backups of those of the stacks that had any, by one query. */
export async function standings(
  db: EntityManager,
  tenantIds: readonly string[],
): Promise<Map<string, NonNullable<StackView['backup']>>> {
  const rows = await db.query<
    {
      tenantId: string;
      takenAt: Date | null;
      verifiedAt: Date | null;
      sameUntil: Date | null;
      failed: boolean | null;
    }[]
  >(
    `select t.id as "tenantId", good.taken_at as "takenAt", good.verified_at as "verifiedAt",
            good.same_until as "sameUntil", ended.failed
       from tenants t ${NEWEST}
      where t.id = any($1) and exists (select from backups b where b.tenant_id = t.id)`,
    [tenantIds],
  );
  return new Map(
    rows.map(({ tenantId, takenAt, verifiedAt, sameUntil, failed }) => [
      tenantId,
      { takenAt: iso(takenAt), verifiedAt: iso(verifiedAt), sameUntil: iso(sameUntil), failed: failed === true },
    ]),
  );
}
