import pg from 'pg';
import { DeadlineError, waitFor, type Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { scramVerifier } from '#libs/db';
import { tenantAddress } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';
import type { StackDatabases } from './ports.js';

const PORT = 5_432;
const CONNECT_MS = 3_000;
/** invalid_password, invalid_authorization_specification. */
const REFUSED = new Set(['28P01', '28000']);

export interface DatabasePlace {
  host: string;
  port: number;
  user: string;
  database: string;
}

/** By address on the stack's own network, which the host reaches; nothing else of the platform does. */
export function databasePlace(facts: StackFacts): DatabasePlace {
  const { services } = facts.template;
  const position = Object.keys(services).toSorted().indexOf('postgres');
  const user = services['postgres']?.environment['POSTGRES_USER'] ?? 'postgres';
  return {
    host: tenantAddress(facts.pool, facts.subnet, position),
    port: PORT,
    user,
    database: services['postgres']?.environment['POSTGRES_DB'] ?? user,
  };
}

/** A stack's Postgres, as its own role. Asks `allowed` before it changes one; what that throws, the change throws. */
export class PgStackDatabases implements StackDatabases {
  constructor(
    private readonly allowed: () => Promise<void>,
    private readonly place: (facts: StackFacts) => DatabasePlace = databasePlace,
  ) {}

  async changePassword(
    facts: StackFacts,
    { current, previous }: { current: string; previous: string },
    bounds: Bounds,
  ): Promise<boolean> {
    const place = this.place(facts);
    const forbidden = new AbortController();
    const signal = bounds.signal ? AbortSignal.any([bounds.signal, forbidden.signal]) : forbidden.signal;
    try {
      const done = await waitFor(
        async () => {
          if (await opens(place, current)) {
            return { changed: false };
          }
          await this.allowed().catch((error: unknown) => {
            forbidden.abort(error);
            throw error;
          });
          return (await opens(place, previous, current)) ? { changed: true } : undefined;
        },
        { what: 'the database taking its new password', ...bounds, signal },
      );
      return done.changed;
    } catch (error) {
      if (error instanceof DeadlineError) {
        throw new DomainError('HEALTH_GATE_FAILED', {
          message: 'The stack’s database took neither its new nor its old password in time.',
          details: { why: 'password' },
          cause: error,
        });
      }
      throw error;
    }
  }
}

/** Whether the password is the role's; where `next` is given, it is that one afterwards. Throws while nobody answers. */
async function opens(place: DatabasePlace, password: string, next?: string): Promise<boolean> {
  const client = new pg.Client({
    ...place,
    password,
    application_name: 'aviary-rotate',
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: CONNECT_MS,
  });
  // A break is told by the statement it breaks.
  client.on('error', () => undefined);
  try {
    await client.connect();
    if (next !== undefined) {
      // The verifier, not the password: the statement may stand in a log.
      await client.query(`alter role ${client.escapeIdentifier(place.user)} with password '${scramVerifier(next)}'`);
    }
    return true;
  } catch (error) {
    if (error instanceof pg.DatabaseError && REFUSED.has(error.code ?? '')) {
      return false;
    }
    throw error;
  } finally {
    await client.end().catch(() => undefined); // Ending a connection that never stood is no news.
  }
}
