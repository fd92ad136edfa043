import { callbackify } from 'node:util';
import pg from 'pg';
import { isDomainError } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';

export interface DatabaseOptions {
  host: string;
  port: number;
  user: string;
  database: string;
  password: string;
  logger: Logger;
  /** Called on every new connection before it is used; throws when this is not the stack's own database. */
  verify: (sql: Sql) => Promise<void>;
}

/** Runs one statement and gives its rows. */
export type Sql = <T = Record<string, unknown>>(statement: string, values?: unknown[]) => Promise<T[]>;

/** Of every connection: tells a later start which ones an earlier runtime left. */
export const APPLICATION_NAME = 'aviary-runtime';
/** Few: a stack's Postgres is small, and one connection costs it 5 MB. */
const CONNECTIONS = 4;
const CONNECT_TIMEOUT_MS = 3_000;
const STATEMENT_TIMEOUT_MS = 15_000;

/** The stack's Postgres. Every new connection is verified, so a database swapped at run time is never traded on. */
export class Database {
  private readonly pool: pg.Pool;

  constructor({ logger, verify, ...connection }: DatabaseOptions) {
    this.pool = new pg.Pool({
      ...connection,
      max: CONNECTIONS,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      application_name: APPLICATION_NAME,
      keepAlive: true,
      verify: (client: pg.Client, done: (error: Error | null) => void) => {
        callbackify(() => verify(sqlOf(client)))(done);
      },
    } as pg.PoolConfig);
    // A connection that breaks (Postgres restarts) is replaced at the next use; unheard, its error would end the process.
    // The pool listens only to idle ones, and one may break between two statements of a transaction.
    const lost = (error: Error): void => logger.debug({ reason: error.message }, 'database connection lost');
    this.pool.on('error', lost);
    this.pool.on('connect', (client) => client.on('error', lost));
  }

  readonly sql: Sql = async <T>(statement: string, values: unknown[] = []): Promise<T[]> =>
    (await this.pool.query(statement, values)).rows as T[];

  async tx<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('begin');
      const result = await work(sqlOf(client));
      await client.query('commit');
      return result;
    } catch (error) {
      await client.query('rollback').catch((cause: unknown) => {
        broken = cause instanceof Error ? cause : new Error('rollback failed');
      });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async close(): Promise<void> {
    await this.pool.end();
  }
}

export function sqlOf(client: pg.ClientBase): Sql {
  return async <T>(statement: string, values: unknown[] = []) => (await client.query(statement, values)).rows as T[];
}

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/**
 * True for errors that pass by themselves: the server is away, restarting or full. Classes 08 (connection), 53
 * (resources) and 57P (shutdown) of the PostgreSQL error codes; a statement that timed out, lost a deadlock or waited
 * too long for a lock passes as well; the driver's own errors have no code.
 */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error) || isDomainError(error)) {
    return false;
  }
  if (error instanceof AggregateError) {
    return error.errors.some(isDatabaseAway);
  }
  const code = 'code' in error ? String(error.code) : '';
  return (
    NETWORK.has(code) ||
    /^(08|53|57P|57014|40001|40P01|55P03)/.test(code) ||
    /connection terminated|timeout expired|timeout exceeded when trying to connect|client has encountered|server closed/i.test(
      error.message,
    )
  );
}
