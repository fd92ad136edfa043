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

/**
 * `name` is ours, so it needs no quoting. Only a superuser may end a worker of the server's own cleaning by force; asked
 * without force, the server ends it by itself.
 */
export async function dropBeside(server: PortalServer, name: string, signal: AbortSignal): Promise<void> {
  const drop = (how: string): Promise<unknown> =>
    inSession(server, { signal }, (session) => session.query(`drop database if exists ${name}${how}`));
  try {
    await drop(' with (force)');
  } catch (error) {
    await drop('').catch(() => {
      throw error;
    });
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
