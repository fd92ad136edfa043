import { setTimeout as delay } from 'node:timers/promises';
import { randomInt } from 'node:crypto';
import pg from 'pg';
import { DomainError, type StackSpec } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { APPLICATION_NAME, Database, isDatabaseAway, sqlOf, type Sql } from '../database/database.js';
import { MIGRATIONS } from '../database/migrations.js';
import { adopt, isToBeAdopted, setAsideLate } from './copy.js';
import type { StackFiles } from './stack-files.js';

/** What the paper account begins with, in USDT. */
export const DEPOSIT = '10000';
/** Any number: serialises migrations of two runtimes that start at once. */
const MIGRATION_LOCK = 7_261_042;
const PREDECESSOR_MS = 5_000;

function missing(message: string): DomainError {
  return new DomainError('DATA_MISSING', { message });
}

/** Throws DATA_MISSING unless the database carries this stack's id. */
export async function verifyStack(sql: Sql, spec: StackSpec): Promise<void> {
  const [table] = await sql<{ found: string | null }>(`select to_regclass('public.stack')::text as found`);
  if (!table?.found) {
    throw missing('The database of this stack is empty. Restore a backup; nothing was created in it.');
  }
  const [row] = await sql<{ tenant: string; platform: string }>('select tenant, platform from stack');
  if (row?.tenant !== spec.tenant || row.platform !== spec.platform) {
    throw missing('The database belongs to another stack. Nothing was changed in it.');
  }
}

/**
 * A runtime that was killed leaves server processes that may still be committing what it sent last. Ends them and waits
 * for their end: what is read after this is what there is.
 */
async function endPredecessors(sql: Sql): Promise<void> {
  await sql(
    `select pg_terminate_backend(pid, ${PREDECESSOR_MS}) from pg_stat_activity
     where datname = current_database() and usename = current_user and application_name = $1 and pid <> pg_backend_pid()`,
    [APPLICATION_NAME],
  );
}

async function isEmpty(sql: Sql): Promise<boolean> {
  const rows = await sql(
    `select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%' limit 1`,
  );
  return rows.length === 0;
}

/**
 * Brings the schema up to date. An empty database gets one only while the stack is being provisioned: later an empty
 * one means that the data is gone, and a bot that began anew on it would trade twice.
 */
export async function prepareStack(sql: Sql, spec: StackSpec): Promise<void> {
  await sql('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
  const [table] = await sql<{ found: string | null }>(`select to_regclass('public.stack')::text as found`);
  if (table?.found) {
    const [row] = await sql<{ tenant: string; platform: string }>('select tenant, platform from stack');
    if (row && isToBeAdopted(row, spec)) {
      await migrate(sql);
      await adopt(sql, spec);
    }
    await verifyStack(sql, spec);
    await migrate(sql);
    await setAsideLate(sql, spec);
    await sql('update stack set generation = $1 where generation <> $1', [spec.generation]);
    return;
  }
  if (!(await isEmpty(sql))) {
    throw missing('The database holds tables that are not of this stack. Nothing was changed in it.');
  }
  if (spec.generation !== spec.provisioningGeneration) {
    throw missing('The database of this stack is empty. Restore a backup; nothing was created in it.');
  }
  await sql('create table schema_migrations (name text primary key, at timestamptz not null default now())');
  await migrate(sql);
  await sql('insert into stack (tenant, platform, generation) values ($1, $2, $3)', [
    spec.tenant,
    spec.platform,
    spec.generation,
  ]);
  await sql(`insert into settings (key, value) values ('deposit', to_jsonb($1::text)), ('price_source', $2)`, [
    DEPOSIT,
    { seed: randomInt(2 ** 31), tickMs: 1000, partialChance: 0.2 },
  ]);
  await sql(`insert into assets (asset, amount) values ('USDT', $1), ('BTC', 0), ('ETH', 0)`, [DEPOSIT]);
}

async function migrate(sql: Sql): Promise<void> {
  const done = new Set((await sql<{ name: string }>('select name from schema_migrations')).map(({ name }) => name));
  for (const { name, up } of MIGRATIONS.filter((migration) => !done.has(migration.name))) {
    await sql(up);
    await sql('insert into schema_migrations (name) values ($1)', [name]);
  }
}

/** A first start of Postgres takes a second or two; beyond this it is away, and there is no hurry. */
const SOON_MS = 10_000;
/** How long a refusal may still mean "not made yet". */
const FIRST_START_MS = 60_000;

/**
 * At its first start Postgres accepts connections before its database and password are there: invalid_password (28P01),
 * invalid_authorization (28000) and invalid_catalog_name (3D000) then pass by themselves.
 */
function isStillBeingMade(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['28P01', '28000', '3D000'].includes(String(error.code));
}

/**
 * Opens the stack's Postgres, waiting for it as long as it takes: both start together. Throws DATA_MISSING, which
 * never mends itself, and anything that is not an absence. `waits` is told each time it was asked in vain.
 */
export async function openStackDatabase({
  files,
  logger,
  signal,
  waits,
}: {
  files: StackFiles;
  logger: Logger;
  signal: AbortSignal;
  waits: () => void;
}): Promise<Database> {
  const { spec, databasePassword } = files;
  const connection = { ...spec.database, password: databasePassword };
  const began = performance.now();
  // Short at first, since a Postgres that starts beside us is ready within a second.
  for (let pause = 15; ; pause = Math.min(pause * 1.5, performance.now() - began < SOON_MS ? 60 : 1_000)) {
    signal.throwIfAborted();
    const client = new pg.Client({ ...connection, connectionTimeoutMillis: 3_000, application_name: APPLICATION_NAME });
    // A break between two statements is also reported here; the statement itself rejects.
    client.on('error', (error) => logger.debug({ reason: error.message }, 'connection ended while preparing'));
    try {
      await client.connect();
      const sql = sqlOf(client);
      await endPredecessors(sql);
      await sql('begin');
      await prepareStack(sql, spec);
      await sql('commit');
      return new Database({ ...connection, logger, verify: (check) => verifyStack(check, spec) });
    } catch (error) {
      if (!isDatabaseAway(error) && !(isStillBeingMade(error) && performance.now() - began < FIRST_START_MS)) {
        throw error;
      }
      logger.debug({ reason: error instanceof Error ? error.message : 'unknown' }, 'waiting for the database');
      waits();
    } finally {
      await client.end().catch(() => {
        // Ending a connection that never stood is no news.
      });
    }
    await delay(pause, undefined, { signal });
  }
}
