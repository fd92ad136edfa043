import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '#libs/contracts';
import type { BackupPart } from '#libs/db';
import type { EngineStreams } from '#libs/engine';
import type { Repository } from '#libs/restic';
import { differences, type DatabaseManifest, type TableCount } from './domain/manifest.js';
import { proveEnd } from './dump.js';
import { Meter } from './meter.js';
import { countTables, PsqlSession, readTables, type ContainerDatabase } from './psql.js';

interface LoadWork {
  streams: EngineStreams;
  repository: Repository;
  database: DatabaseManifest;
  part: BackupPart;
  /** An empty database. */
  into: ContainerDatabase;
  signal: AbortSignal;
}

/**
 * Loads a dump out of the repository and proves it: every byte is what was dumped, pg_restore took all of it, and each
 * table has as many rows as were counted then and, where a proof read it, the same content. Throws BACKUP_UNVERIFIED
 * with what is not so.
 */
export async function loadDatabase(work: LoadWork): Promise<void> {
  await restoreDump(work);
  const read = work.database.tables.some(({ figure }) => figure !== undefined);
  await inLoaded<TableCount>(work, read ? readTables : countTables);
}

/** Loads and proves it likewise, and gives what is in the tables: later ones are compared with that. */
export async function loadAndRead(work: LoadWork): Promise<DatabaseManifest> {
  await restoreDump(work);
  return { ...work.database, tables: await inLoaded(work, readTables) };
}

async function inLoaded<T extends TableCount>(
  { streams, database, into, signal }: LoadWork,
  look: (session: PsqlSession) => Promise<T[]>,
): Promise<T[]> {
  const session = await PsqlSession.open(streams, into, signal);
  const found = await look(session);
  await session.close();
  const wrong = differences(database.tables, found);
  if (wrong.length > 0) {
    throw unverified(`after loading, ${wrong.slice(0, 5).join('; ')}`);
  }
  return found;
}

async function restoreDump({ streams, repository, database, part, into, signal }: LoadWork): Promise<void> {
  const source = await repository.open(part.snapshotId, part.name, signal);
  const command = [
    'pg_restore',
    '--exit-on-error',
    '--no-owner',
    '--no-password',
    '-U',
    into.user,
    '-d',
    into.database,
  ];
  const restore = await streams
    .exec(into.container, into.owner, { command, user: into.account }, signal)
    .catch((error: unknown) => {
      source.stream.destroy();
      throw error;
    });
  restore.output.resume();
  // Of a restore that failed no more need be read.
  restore.ended.then(
    ({ exitCode }) => void (exitCode === 0 || source.stream.destroy()),
    () => source.stream.destroy(),
  );
  const meter = new Meter();
  const [copied, read, ended] = await Promise.allSettled([
    pipeline(source.stream, meter, (chunks: AsyncIterable<Buffer>) => feed(chunks, restore.input), { signal }),
    source.ended,
    restore.ended,
  ]);
  signal.throwIfAborted();
  if (ended.status === 'fulfilled') {
    try {
      proveEnd('pg_restore', ended.value);
    } catch (error) {
      throw unverified(error instanceof Error ? error.message : String(error), read);
    }
  }
  // Whose end it was that broke the others is told by the first of these: where the engine broke off, nobody took what
  // restic had still to give, and one that failed by itself gave pg_restore an end like any other.
  for (const outcome of [ended, read, copied]) {
    if (outcome.status === 'rejected') {
      throw outcome.reason;
    }
  }
  const sha256 = meter.sha256();
  if (meter.bytes !== database.bytes || sha256 !== database.sha256) {
    throw unverified(`${part.name} came back as ${meter.bytes} bytes that are not the ${database.bytes} stored`, read);
  }
}

/**
 * To who loads a dump. pg_restore ends as soon as it has all it needs, which may be before the source comes to its end:
 * the rest is then only read. How it ended, its own end tells.
 */
export async function feed(chunks: AsyncIterable<Buffer>, input: Writable): Promise<void> {
  const closed = once(input, 'close').catch(() => undefined);
  for await (const chunk of chunks) {
    if (input.writable && !input.write(chunk)) {
      await Promise.race([once(input, 'drain').catch(() => undefined), closed]);
    }
  }
  input.end();
}

function unverified(what: string, read?: PromiseSettledResult<void>): DomainError {
  const cause: unknown = read?.status === 'rejected' ? read.reason : undefined;
  const repository = cause instanceof Error ? ` (${cause.message})` : '';
  return new DomainError('BACKUP_UNVERIFIED', {
    message: `The backup does not come back whole: ${what}${repository}.`,
    details: { why: 'not_as_stored' },
    ...(cause === undefined ? {} : { cause }),
  });
}
