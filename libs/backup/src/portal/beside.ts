import type { EngineStreams } from '#libs/engine';
import { PsqlSession, type ContainerDatabase } from '../psql.js';

/** Databases of the server the portal's own lies on. */
export interface PortalServer {
  streams: EngineStreams;
  /** The portal's database, spoken to as the server's owner. */
  place: ContainerDatabase;
}

/** From where any other database of the server can be dropped and renamed. */
const MAINTENANCE = 'postgres';

const inDatabase = ({ place }: PortalServer, database: string): ContainerDatabase => ({ ...place, database });

/** Name of a database of ours that stands beside the portal's for a while. */
export const besideOf = ({ place }: PortalServer, purpose: string): string => `${place.database}_${purpose}`;

/** One session in a database of that server, closed whatever becomes of it. */
export async function inSession<T>(
  server: PortalServer,
  { database = MAINTENANCE, signal }: { database?: string; signal: AbortSignal },
  work: (session: PsqlSession) => Promise<T>,
): Promise<T> {
  const session = await PsqlSession.open(server.streams, inDatabase(server, database), signal);
  try {
    return await work(session);
  } finally {
    await session.close().catch(() => undefined); // What broke it is told by what it broke.
  }
}

/** Somebody may come back between the two statements. */
const MOST_DROPS = 5;

/**
 * Ends whoever is in that database, but for this session. Only clients: a worker that vacuums is the server's own, which
 * refuses to have it ended and ends it itself where it is in the way. `name` is ours, so it needs no quoting.
 */
export async function endClients(session: PsqlSession, name: string): Promise<void> {
  await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = '${name}' and backend_type = 'client backend' and pid <> pg_backend_pid()`,
  );
}

/** With all clients it has. Not `with (force)`, which the server refuses to its owner while it vacuums there. */
export async function dropBeside(server: PortalServer, name: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await inSession(server, { signal }, async (session) => {
        await endClients(session, name);
        await session.query(`drop database if exists ${name}`);
      });
      return;
    } catch (error) {
      if (attempt === MOST_DROPS || signal.aborted) {
        throw error;
      }
    }
  }
}

/** An empty database of that name; what an earlier try left of it goes. No process of the platform gets into it. */
export async function makeBeside(server: PortalServer, name: string, signal: AbortSignal): Promise<ContainerDatabase> {
  await dropBeside(server, name, signal);
  await inSession(server, { signal }, async (session) => {
    await session.query(`create database ${name} template template0`);
    await session.query(`revoke connect on database ${name} from public`);
  });
  return inDatabase(server, name);
}

/** For what is not ours in a statement. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
