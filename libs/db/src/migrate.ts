import { DomainError } from '#libs/contracts';
import type { DataSource } from 'typeorm';
import { createDataSource, type Tx } from './data-source.js';
import { PlatformEntity } from './entities/index.js';
import { isLockTimeout } from './errors.js';
import { MIGRATIONS } from './migrations/index.js';
import { scramVerifier } from './scram.js';

export const APP_ROLE = 'aviary_app';

/** Tables the app role may add to but never change, and tables it may only read. All others it may write. */
const APPEND_ONLY = ['audit_entries', 'audit_seals'];
const READ_ONLY = ['platforms', 'migrations'];

/**
 * A table's exclusive lock is waited for no longer: everything the running platform asks of that table queues behind who
 * waits, and a dump holds all tables for as long as it lasts.
 */
export const LOCK_MS = 5_000;

/** Of the migrations a database has had, those that this version does not know: a newer one made it. */
export function unknownMigrations(names: readonly string[]): string[] {
  const known = new Set(MIGRATIONS.map((migration) => migration.name));
  return names.filter((name) => !known.has(name));
}

export interface MigrateOptions {
  /** Of the platform that owns the database from now on. */
  platformId: string;
  /** Password of the role the processes use; set anew each time. */
  appPassword: string;
}

/**
 * Brings the database up to date as its owner (who may create roles): migrations, the platform's row, the app role
 * and its rights. Any number may run at once; one does the work. Throws PLATFORM_MISMATCH before it changes anything, and
 * UNAVAILABLE where another session holds a lock: what ran until there stays, the rest is as it was.
 * The queue's own tables are installed by #libs/jobs.
 */
export async function migrate(ownerUrl: string, options: MigrateOptions): Promise<{ ran: string[] }> {
  const pool = { poolSize: 2, applicationName: 'aviary-migrate', patient: true, lockMs: LOCK_MS };
  const dataSource = await createDataSource(ownerUrl, pool).initialize();
  const lock = dataSource.createQueryRunner();
  try {
    await lock.connect();
    // Whoever migrates beside us is waited for. Held by the session, so a process that dies in between releases it.
    await lock.query('set lock_timeout = 0');
    await lock.query(`select pg_advisory_lock(hashtext('aviary-migrate'))`);
    const exists: { found: string | null }[] = await lock.query(`select to_regclass('public.platforms') as found`);
    if (exists[0]?.found) {
      await assertPlatform(dataSource, options.platformId, { emptyIsFine: true });
    }
    const done = await dataSource.runMigrations({ transaction: 'each' });
    await dataSource.transaction(async (tx) => {
      await tx
        .createQueryBuilder()
        .insert()
        .into(PlatformEntity)
        .values({ id: options.platformId, singleton: true, createdAt: new Date() })
        .orIgnore()
        .execute();
      await grantAppRole(tx, options.appPassword);
    });
    await assertPlatform(dataSource, options.platformId);
    return { ran: done.map((migration) => migration.name) };
  } catch (cause) {
    if (!isLockTimeout(cause)) {
      throw cause;
    }
    throw new DomainError('UNAVAILABLE', {
      message: `Another session holds a lock on the portal’s database for longer than ${LOCK_MS / 1_000} s, such as a backup of it that is just written. What waited for it changed nothing; try again in a minute.`,
      cause,
    });
  } finally {
    await lock.release();
    await dataSource.destroy();
  }
}

async function grantAppRole(tx: Tx, appPassword: string): Promise<void> {
  const rows: { there: boolean }[] = await tx.query(
    'select exists (select from pg_roles where rolname = $1) as there',
    [APP_ROLE],
  );
  // The verifier, not the password: statements may be logged by the server. It holds no quote.
  await tx.query(
    `${rows[0]?.there ? 'alter' : 'create'} role ${APP_ROLE} with login ` + `password '${scramVerifier(appPassword)}'`,
  );
  await tx.query(`grant usage on schema public to ${APP_ROLE}`);
  await tx.query(`revoke all on all tables in schema public from ${APP_ROLE}`);
  const tables: { name: string }[] = await tx.query(
    `select tablename as name from pg_tables where schemaname = 'public'`,
  );
  for (const { name } of tables) {
    const rights = READ_ONLY.includes(name)
      ? 'select'
      : APPEND_ONLY.includes(name)
        ? 'select, insert'
        : 'select, insert, update, delete';
    await tx.query(`grant ${rights} on table public."${name}" to ${APP_ROLE}`);
  }
}

/** Throws PLATFORM_MISMATCH unless the database is this platform's. Every process calls it when it starts. */
export async function assertPlatform(
  dataSource: DataSource,
  platformId: string,
  options: { emptyIsFine?: boolean } = {},
): Promise<void> {
  const row = await dataSource.getRepository(PlatformEntity).findOneBy({ singleton: true });
  if (row === null && options.emptyIsFine) {
    return;
  }
  if (row?.id !== platformId) {
    throw new DomainError('PLATFORM_MISMATCH', {
      message: `This database belongs to platform ${row?.id ?? '(none)'}, not to ${platformId}. Check AVIARY_PLATFORM_ID and the database's address.`,
      details: { expected: platformId, found: row?.id ?? null },
    });
  }
}
