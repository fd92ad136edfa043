import pg from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import { ENTITIES } from './entities/index.js';
import { MIGRATIONS } from './migrations/index.js';
import { PlainNamingStrategy } from './naming.js';

/** The pool of connections; apps name it by this, since only libraries import the ORM. */
export type Database = DataSource;

/** Where a piece of work reads and writes: inside `tx` one transaction, else the pool. */
export type Tx = EntityManager;

export interface DataSourceOptions {
  /** Connections at most; 10 unless told. */
  poolSize?: number;
  /** Shown in pg_stat_activity. */
  applicationName?: string;
  /** For who changes tables or waits for another that does: a statement may take as long as it takes. */
  patient?: boolean;
  /** Longest wait for a lock another session holds, in ms; without it as long as the statement may take. */
  lockMs?: number;
}

/**
 * Far more than a statement of the portal takes, on a host short of everything. One that waits longer waits for a lock
 * nobody lets go, and whoever asked would wait behind it for ever. The server ends it, not the driver: that would give
 * the connection back with the statement still at work on it and its transaction open. No dump goes this way.
 */
const STATEMENT_MS = 120_000;
const KEEP_ALIVE_MS = 10_000;

/** Not connected yet: call `initialize()`, and `destroy()` at the end. */
export function createDataSource(url: string, options: DataSourceOptions = {}): DataSource {
  return new DataSource({
    type: 'postgres',
    // Named, since the ORM would look for it where it runs, and a bundle has it inside.
    driver: pg,
    url,
    applicationName: options.applicationName ?? 'aviary',
    poolSize: options.poolSize ?? 10,
    connectTimeoutMS: 5_000,
    extra: {
      // Where the server's host is gone without a word, who only waits for an answer would wait for ever.
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      ...(options.patient ? {} : { statement_timeout: STATEMENT_MS }),
      ...(options.lockMs === undefined ? {} : { lock_timeout: options.lockMs }),
    },
    entities: ENTITIES,
    migrations: MIGRATIONS,
    migrationsTableName: 'migrations',
    namingStrategy: new PlainNamingStrategy(),
    synchronize: false,
    logging: false,
    uuidExtension: 'pgcrypto',
    installExtensions: false,
    // A dropped idle connection is normal (a restarted server); the next query reports it if it lasts.
    poolErrorHandler: () => undefined,
  });
}

/** Runs `work` in one transaction: commits when it resolves, rolls back when it throws. */
export async function tx<T>(dataSource: DataSource, work: (tx: Tx) => Promise<T>): Promise<T> {
  return dataSource.transaction(work);
}
