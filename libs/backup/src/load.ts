import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { handOver } from '#libs/async';
import { DomainError, isDomainError } from '#libs/contracts';
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
  /** The dump, where it was opened before there was something to load it into. */
  opened?: OpenedDump;
  /** An empty database. */
  into: ContainerDatabase;
  signal: AbortSignal;
}

export interface OpenedDump {
  stream: Readable;
  ended: Promise<void>;
}

/**
 * Opens a dump for work that first starts a server to load it into: restic takes as long to find its key as a server to
 * start. What of it is not read by the end of the work is let go of.
 */
export async function withDump<T>(
  { repository, part, signal }: Pick<LoadWork, 'repository' | 'part' | 'signal'>,
  work: (opened: OpenedDump) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const opened = await repository.open(part.snapshotId, part.name, AbortSignal.any([signal, over.signal]));
  try {
    return await work(opened);
  } finally {
    over.abort();
    opened.stream.destroy();
    await opened.ended.catch(() => undefined); // Who read it was told.
  }
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

/** How PostgreSQL says, in a hint, that one transaction cannot lock as many things. */
const TOO_MANY_LOCKS = 'max_locks_per_transaction';

/**
 * In one transaction: a server that nothing replicates from then writes what it is given once, into the tables that the
 * transaction made, and not into its log too. Where that has more things in it than one transaction can lock, it left
 * nothing, and they are made one by one.
 */
async function restoreDump(work: LoadWork): Promise<void> {
  try {
    await restore(work, ['--single-transaction']);
  } catch (error) {
    if (!isDomainError(error, 'BACKUP_UNVERIFIED') || !error.message.includes(TOO_MANY_LOCKS)) {
      throw error;
    }
    const { opened: _read, ...again } = work;
    await restore(again, []);
  }
}

async function restore(
  { streams, repository, database, part, opened, into, signal }: LoadWork,
  options: readonly string[],
): Promise<void> {
  const source = opened ?? (await repository.open(part.snapshotId, part.name, signal));
  const command = [
    'pg_restore',
    '--exit-on-error',
    ...options,
    '--no-owner',
    '--no-password',
    '-U',
    into.user,
    '-d',
    into.database,
  ];
  const loading = await streams
    .exec(into.container, into.owner, { command, user: into.account }, signal)
    .catch((error: unknown) => {
      source.stream.destroy();
      throw error;
    });
  loading.output.resume();
  // Of a restore that failed no more need be read.
  loading.ended.then(
    ({ exitCode }) => void (exitCode === 0 || source.stream.destroy()),
    () => source.stream.destroy(),
  );
  const meter = new Meter();
  const [copied, read, ended] = await Promise.allSettled([
    // pg_restore ends as soon as it has all it needs, which may be before the source comes to its end.
    pipeline(source.stream, meter, handOver(loading.input, { own: true, readsOn: true }), { signal }).then(() =>
      loading.input.end(),
    ),
    source.ended,
    loading.ended,
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

/** To who loads a dump, and may end before the source does: the rest is then only read. How it ended, its own end tells. */
export async function feed(chunks: AsyncIterable<Buffer>, input: Writable): Promise<void> {
  for await (const chunk of chunks) {
    if (input.writable && !input.write(chunk)) {
      await takesMore(input);
    }
  }
  input.end();
}

/** Or never will: there is nothing to wait for behind its end. */
function takesMore(input: Writable): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      input.off('drain', go).off('close', go);
      resolve();
    };
    if (input.closed) {
      resolve();
    } else {
      input.on('drain', go).on('close', go);
    }
  });
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
