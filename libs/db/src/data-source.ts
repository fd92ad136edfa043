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
}

/** Not connected yet: call `initialize()`, and `destroy()` at the end. */
export function createDataSource(url: string, options: DataSourceOptions = {}): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    applicationName: options.applicationName ?? 'aviary',
    poolSize: options.poolSize ?? 10,
    connectTimeoutMS: 5_000,
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
