import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '#libs/contracts';
import type { BackupPart } from '#libs/db';
import type { EngineStreams, ExecEnd, ExecStreams } from '#libs/engine';
import type { Part, Repository, Stored } from '#libs/restic';
import type { DatabaseManifest } from './domain/manifest.js';
import { Meter } from './meter.js';
import { countTablesAside, PsqlSession, SESSION, type ContainerDatabase } from './psql.js';

/** How a file of PostgreSQL's custom format begins. */
const MAGIC = 'PGDMP';

/**
 * Of earlier ones, of which an engine that died told nobody the end: its processes live on in the container, and their
 * snapshots hold back the database's own cleaning.
 */
const END_DUMPS = `select pg_terminate_backend(pid) from pg_stat_activity
  where application_name in ('pg_dump', '${SESSION}') and datname = current_database() and pid <> pg_backend_pid()`;
const END_MS = 10_000;

export interface Dumped {
  takenAt: Date;
  database: DatabaseManifest;
  part: BackupPart;
}

interface DumpWork {
  streams: EngineStreams;
  repository: Repository;
  place: ContainerDatabase;
  service: string;
  part: Part;
  signal: AbortSignal;
}

/**
 * Streams the database into the repository as it is at one moment: pg_dump and the counting of rows look at the same
 * exported snapshot. Without compression, which is restic's, so that what did not change is stored once. restic is begun
 * first: it takes as long to find its key as a database to be looked at. Throws BACKUP_FAILED with the tools' own words;
 * then no snapshot is left.
 */
export async function dumpDatabase(work: DumpWork): Promise<Dumped> {
  const { place, service, part, repository } = work;
  const meter = new Meter();
  const dumped = Promise.withResolvers<void>();
  let storing: Promise<Stored> | undefined;
  const [stored, seen] = await bothOrNeither(
    work.signal,
    (signal) => (storing = repository.store(part, { stream: meter, produced: dumped.promise, own: true }, signal)),
    async (signal) => {
      try {
        return await atOneMoment({ ...work, signal }, (session, snapshot) =>
          seeing({ ...work, signal }, { session, snapshot }, async (dumping) => {
            try {
              await dumpInto(meter, { ...work, signal: dumping }, snapshot);
              dumped.resolve();
            } catch (error) {
              if (!dumping.aborted) {
                dumped.reject(error);
                // Where restic broke off, so does what it read from; it tells why.
                await storing;
              }
              throw error;
            }
          }),
        );
      } catch (error) {
        dumped.reject(error);
        throw error;
      }
    },
  );
  if (stored.bytes !== meter.bytes) {
    throw new DomainError('BACKUP_FAILED', {
      message: `pg_dump wrote ${meter.bytes} bytes and restic stored ${stored.bytes}.`,
      details: { why: 'short' },
    });
  }
  const { takenAt, ...figures } = seen;
  const sha256 = meter.sha256();
  return {
    takenAt,
    part: { name: part.name, ...stored, sha256 },
    database: {
      service,
      user: place.user,
      database: place.database,
      part: part.name,
      bytes: stored.bytes,
      sha256,
      ...figures,
    },
  };
}

type Seen = { takenAt: Date } & Pick<DatabaseManifest, 'server' | 'size' | 'definition' | 'tables'>;

/** What is to be known of a database whose dump it is, while that is made. */
async function seeing(
  source: DumpSource,
  { session, snapshot }: { session: PsqlSession; snapshot: string },
  dump: (signal: AbortSignal) => Promise<void>,
): Promise<Seen> {
  const takenAt = new Date(Number(await session.one('select extract(epoch from now()) * 1000')));
  const server = await session.one('show server_version');
  const size = Number(await session.one('select pg_database_size(current_database())'));
  const [, { tables, definition }] = await bothOrNeither(source.signal, dump, async (signal) => ({
    tables: await countTablesAside(session),
    definition: await definitionOf({ ...source, signal }, snapshot),
  }));
  return { takenAt, server, size, definition, tables };
}

/**
 * Looks at a database as it is at one moment: in this session, and in every `pgDump` of that snapshot until `look` is
 * over. What dumps it still when that fails is ended.
 */
export async function atOneMoment<T>(
  { streams, place, signal }: DumpSource,
  look: (session: PsqlSession, snapshot: string) => Promise<T>,
): Promise<T> {
  const session = await PsqlSession.open(streams, place, signal);
  try {
    await session.query(END_DUMPS);
    await session.query('begin isolation level repeatable read, read only');
    return await look(session, await session.one('select pg_export_snapshot()'));
  } catch (error) {
    await endDumps(streams, place);
    throw error;
  } finally {
    await session.close().catch(() => undefined); // What broke it is told by what it broke.
  }
}

/** Both at once; where one fails the other is called off, and it has ended before that is told. */
async function bothOrNeither<A, B>(
  signal: AbortSignal,
  one: (signal: AbortSignal) => Promise<A>,
  other: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  const calling = async <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await work(both);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  const works = [calling(one), calling(other)] as const;
  await Promise.allSettled(works);
  if (failed.signal.aborted) {
    throw failed.signal.reason;
  }
  return Promise.all(works);
}

/**
 * An engine does not end a process whose reader went away: it would wait for ever to be read, and hold back the
 * database's own cleaning with its snapshot. Where it cannot be ended now, the next dump does so before it begins.
 */
async function endDumps(streams: EngineStreams, place: ContainerDatabase): Promise<void> {
  try {
    const session = await PsqlSession.open(streams, place, AbortSignal.timeout(END_MS));
    await session.query(END_DUMPS);
    await session.close();
  } catch {
    // The lease is another's by now, or the database is what broke.
  }
}

export type DumpSource = Pick<DumpWork, 'streams' | 'place' | 'signal'>;

/** A pg_dump in the database's container, which sees what that snapshot sees. */
export async function pgDump(
  { streams, place, signal }: DumpSource,
  snapshot: string,
  options: readonly string[],
): Promise<ExecStreams> {
  const command = ['pg_dump', ...options, '--no-password', `--snapshot=${snapshot}`, '-U', place.user];
  const dump = await streams.exec(
    place.container,
    place.owner,
    { command: [...command, '-d', place.database], user: place.account },
    signal,
  );
  dump.input.end();
  return dump;
}

/** All of it, and not its end: whether it came to that is known once pg_dump's own is. */
async function dumpInto(meter: Meter, source: DumpSource, snapshot: string): Promise<void> {
  const dump = await pgDump(source, snapshot, ['-Fc', '-Z0']);
  await Promise.all([pipeline(dump.output, meter), dump.ended.then((end) => proveEnd('pg_dump', end))]);
  if (!meter.head.toString('latin1').startsWith(MAGIC)) {
    throw new DomainError('BACKUP_FAILED', {
      message: 'pg_dump ended well and wrote no dump.',
      details: { why: 'empty' },
    });
  }
}

/** pg_dump fences its text off with a word it makes up anew each time. */
const FENCES = /^\\(?:un)?restrict /;

/** SHA-256 of how everything in the database is defined, as pg_dump would write it. */
export async function definitionOf(source: DumpSource, snapshot: string): Promise<string> {
  const dump = await pgDump(source, snapshot, ['--schema-only']);
  const hash = createHash('sha256');
  for await (const line of createInterface({ input: dump.output })) {
    if (!FENCES.test(line)) {
      hash.update(`${line}\n`);
    }
  }
  proveEnd('pg_dump', await dump.ended);
  return hash.digest('hex');
}

/** Throws BACKUP_FAILED with its words where a tool did not end well. */
export function proveEnd(tool: string, { exitCode, said }: ExecEnd): void {
  if (exitCode !== 0) {
    throw new DomainError('BACKUP_FAILED', {
      message: `${tool} ended with ${exitCode}: ${said || 'it said nothing'}`,
      details: { why: tool, exitCode },
    });
  }
}
