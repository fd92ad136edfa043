import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { TenantEntity, type Database } from '#libs/db';
import type { EngineStreams, ExecStreams } from '#libs/engine';
import { epochToFill, type BackupWork, type StackFacts } from '#libs/orchestrator';
import { databaseMajorOf, stackNames } from '#libs/tenants';
import { differences } from './domain/manifest.js';
import { atOneMoment, pgDump, proveEnd } from './dump.js';
import { FittedDump } from './fitted-dump.js';
import { feed } from './load.js';
import { readTables, PsqlSession, type ContainerDatabase } from './psql.js';
import { withLog } from './room.js';
import { databaseOf, onScratch, ScratchServer } from './scratch.js';
import { dropVolumes, giveUpEpoch } from './spares.js';
import { fillVolume, placeOfVolume } from './volumes.js';

const KIB = 1024;
/** Differences a person is told of. */
const MOST_TOLD = 5;

function failed(message: string, cause?: unknown): DomainError {
  return new DomainError('CARRY_FAILED', { message, ...(cause === undefined ? {} : { cause }) });
}

/** Bytes on disk that a second copy of the stack's data takes while it is made. */
export async function takenByCarrying({ facts, streams, signal }: BackupWork): Promise<number> {
  let bytes = 0;
  for (const service of facts.template.aviary.backup.postgres) {
    const session = await PsqlSession.open(streams, databaseOf(facts, service), signal);
    bytes += withLog(Number(await session.one('select pg_database_size(current_database())')));
    await session.close();
  }
  for (const volume of otherVolumes(facts)) {
    const { spec, target } = placeOfVolume(facts, volume);
    const owner = { platform: facts.platformId, tenant: facts.tenantId };
    const du = await streams.exec(spec.name, owner, { command: ['du', '-sk', target], user: spec.user }, signal);
    du.input.end();
    const said = await text(du.output);
    proveEnd('du', await du.ended);
    bytes += z.coerce.number().parse(said.trim().split(/\s/)[0]) * KIB;
  }
  return bytes;
}

/** Volumes of services that are no database's data; what no service mounts holds nothing. */
function otherVolumes({ template }: StackFacts): string[] {
  const databases = new Set(
    template.aviary.backup.postgres.map((service) => template.services[service]?.volumes[0]?.volume),
  );
  const mounted = new Set(
    Object.values(template.services).flatMap(({ volumes }) => volumes.map(({ volume }) => volume)),
  );
  return Object.keys(template.volumes).filter((volume) => mounted.has(volume) && !databases.has(volume));
}

/**
 * Fills the volumes of a new epoch with what the stack has, its databases through servers of the release that `target`
 * is of, and compares. Of the stack nothing may run but its databases; they and their volumes stay as they are. What
 * was filled is removed where that fails, or with the next good backup where it cannot be. Throws CARRY_FAILED with what could not be carried, and why.
 */
export async function carryStack(database: Database, work: BackupWork, target: StackFacts): Promise<string> {
  const { facts, engine, streams, signal } = work;
  const epoch = epochToFill(facts);
  const id = facts.tenantId;
  await work.prove();
  await database.manager.update(TenantEntity, { id }, { nextEpoch: epoch });
  // What an agent that died left: its server holds the volumes.
  await ScratchServer.clear({ engine, streams, facts: target, signal });
  await dropVolumes({ engine, facts: target }, epoch);
  try {
    const carried: string[] = [];
    for (const service of target.template.aviary.backup.postgres) {
      const [data] = target.template.services[service]?.volumes ?? [];
      if (!data) {
        throw new Error(`${service} has no volume`);
      }
      const volume = stackNames(facts.platformId, facts.slug).volume(data.volume, epoch);
      const plan = { engine, streams, facts: target, service, data: { volume, role: data.volume }, signal };
      await onScratch(plan, async (server) => {
        const majors = { from: databaseMajorOf(facts.template), to: databaseMajorOf(target.template) };
        carried.push(
          await carryDatabase({ streams, majors, from: databaseOf(facts, service), into: server.place, signal }),
        );
        await server.stop();
      });
    }
    for (const volume of otherVolumes(facts)) {
      await copyVolume(work, target, { volume, epoch });
    }
    return carried.join('; ');
  } catch (error) {
    await giveUpEpoch(database, { engine, streams, facts: target, signal }, epoch);
    throw error;
  }
}

async function copyVolume(
  { facts, engine, streams, signal }: BackupWork,
  target: StackFacts,
  { volume, epoch }: { volume: string; epoch: number },
): Promise<void> {
  const from = placeOfVolume(facts, volume);
  await fillVolume({ engine, facts: target, volume, epoch, signal }, async ({ container, owner, folder }) => {
    const tar = await streams.pack(from.spec.name, owner, from.target, signal);
    await streams.unpack(container, owner, { folder, tar }, signal);
  });
}

interface CarryWork {
  streams: EngineStreams;
  majors: { from: number; to: number };
  from: ContainerDatabase;
  /** An empty database. */
  into: ContainerDatabase;
  signal: AbortSignal;
}

/**
 * Dumps the one database into the other and compares: rows of every table, sequences, large objects, and that nothing
 * of the schema was left behind. A plain dump, since that is what servers of both directions take: an archive is read
 * by tools of its own version and later ones only.
 */
async function carryDatabase({ streams, majors, from, into, signal }: CarryWork): Promise<string> {
  return atOneMoment({ streams, place: from, signal }, async (source, snapshot) => {
    const tables = await readTables(source);
    const others = await countOthers(source);
    await pour({ streams, majors, from, into, signal }, snapshot);
    const loaded = await PsqlSession.open(streams, into, signal);
    const wrong: string[] = [];
    try {
      wrong.push(...differences(tables, await readTables(loaded)), ...otherwise(others, await countOthers(loaded)));
      // A new server knows nothing of how its data is spread, and would plan the first queries badly.
      await loaded.query('analyze');
    } finally {
      await loaded.close();
    }
    if (wrong.length > 0) {
      throw failed(
        `What PostgreSQL ${majors.to} took is not what PostgreSQL ${majors.from} has: ${wrong.slice(0, MOST_TOLD).join('; ')}.`,
      );
    }
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    return `${rows} rows in ${tables.length} tables, from PostgreSQL ${majors.from} to ${majors.to}`;
  });
}

async function pour({ streams, majors, from, into, signal }: CarryWork, snapshot: string): Promise<void> {
  const asking = await PsqlSession.open(streams, into, signal);
  const settings = new Set(await asking.query('select name from pg_settings'));
  await asking.close();
  const dump = await pgDump({ streams, place: from, signal }, snapshot, ['--no-owner', '--quote-all-identifiers']);
  const command = ['psql', '-qAtX', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=terse', '-U', into.user];
  const load = await streams
    .exec(into.container, into.owner, { command: [...command, '-d', into.database], user: into.account }, signal)
    .catch((error: unknown) => {
      dump.output.destroy();
      throw error;
    });
  // Of a load that failed no more need be dumped.
  load.ended.then(
    ({ exitCode }) => void (exitCode === 0 || dump.output.destroy()),
    () => dump.output.destroy(),
  );
  const mark = `carried ${randomUUID()}`;
  const [arrived, poured, ended] = await Promise.allSettled([
    says(load.output, mark),
    pipeline(
      dump.output,
      new FittedDump(settings),
      async (chunks: AsyncIterable<Buffer>) => {
        try {
          await feed(marked(chunks, dump, mark), load.input);
        } catch (error) {
          load.input.destroy();
          throw error;
        }
      },
      { signal },
    ),
    load.ended,
  ]);
  signal.throwIfAborted();
  // A dump that ended badly first: it is why the other was cut off.
  if (poured.status === 'rejected' && poured.reason instanceof DomainError) {
    throw failed(`PostgreSQL ${majors.from} could not be dumped: ${poured.reason.message}`, poured.reason);
  }
  if (ended.status === 'fulfilled' && ended.value.exitCode !== 0) {
    const { said, exitCode } = ended.value;
    throw failed(
      `PostgreSQL ${majors.to} does not take what PostgreSQL ${majors.from} dumped: ${said || `psql ended with ${exitCode}`}`,
    );
  }
  for (const outcome of [ended, poured, arrived]) {
    if (outcome.status === 'rejected') {
      throw outcome.reason;
    }
  }
  if (arrived.status === 'fulfilled' && !arrived.value) {
    throw failed(`Not all of what PostgreSQL ${majors.from} dumped arrived at PostgreSQL ${majors.to}.`);
  }
}

/**
 * The dump, and behind it a line that psql answers: a connection that breaks looks to psql like the end, and half a
 * dump has no error in it. Only a dump that ended well gets it.
 */
async function* marked(chunks: AsyncIterable<Buffer>, dump: ExecStreams, mark: string): AsyncGenerator<Buffer> {
  yield* chunks;
  proveEnd('pg_dump', await dump.ended);
  yield Buffer.from(`\n\\echo ${mark}\n`);
}

async function says(output: Readable, mark: string): Promise<boolean> {
  let said = false;
  for await (const line of createInterface({ input: output })) {
    said ||= line === mark;
  }
  return said;
}

/** What besides tables has to come along, each under a name of its own. What belongs to extensions is another version's own. */
const OTHERS = [
  `select json_build_array(format('sequence %I.%I', schemaname, sequencename), coalesce(last_value::text, 'unused'))
     from pg_catalog.pg_sequences`,
  `select json_build_array('large objects', count(*)::text) from pg_catalog.pg_largeobject_metadata`,
  `select json_build_array('bytes of large objects',
          coalesce(sum(pg_catalog.hashtextextended(pg_catalog.encode(data, 'hex'), loid::bigint * 1000003 + pageno)), 0)::text)
     from pg_catalog.pg_largeobject`,
  `select json_build_array('relations of kind ' || relkind::text, count(*)::text)
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'i', 'S', 'v', 'm', 'p', 'I')
      and not exists (select from pg_catalog.pg_depend d
                       where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
    group by relkind`,
  // Those of not null are rows of their own from PostgreSQL 18 on.
  `select json_build_array('constraints of kind ' || contype::text, count(*)::text)
     from pg_catalog.pg_constraint c join pg_catalog.pg_namespace n on n.oid = c.connamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and contype <> 'n' group by contype`,
  `select json_build_array('functions', count(*)::text)
     from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and not exists (select from pg_catalog.pg_depend d
                       where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')`,
  `select json_build_array('triggers', count(*)::text) from pg_catalog.pg_trigger where not tgisinternal`,
];
const pairSchema = z.tuple([z.string(), z.string()]);

async function countOthers(session: PsqlSession): Promise<Map<string, string>> {
  const counts = new Map<string, string>();
  for (const statement of OTHERS) {
    for (const row of await session.query(statement)) {
      const [what, value] = pairSchema.parse(JSON.parse(row));
      counts.set(what, value);
    }
  }
  return counts;
}

function otherwise(expected: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>): string[] {
  return [...new Set([...expected.keys(), ...found.keys()])]
    .filter((what) => expected.get(what) !== found.get(what))
    .map((what) => `${what}: ${found.get(what) ?? 'none'} instead of ${expected.get(what) ?? 'none'}`);
}
