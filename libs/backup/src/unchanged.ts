import { finished, pipeline } from 'node:stream/promises';
import type { EngineStreams } from '#libs/engine';
import type { StackFacts } from '#libs/orchestrator';
import { definitionOf } from './dump.js';
import type { DatabaseManifest, Manifest, VolumeManifest } from './domain/manifest.js';
import { Meter } from './meter.js';
import { PsqlSession, readTable, tablesOf } from './psql.js';
import { databaseOf } from './scratch.js';
import { placeOfVolume } from './volumes.js';

interface Look {
  streams: EngineStreams;
  facts: StackFacts;
  signal: AbortSignal;
}

/**
 * The moment at which the stack still had what that backup holds; null where it has anything else, or it cannot be told
 * (a backup whose proof did not read its content). Content is compared, not counters of writing: a runtime writes all the
 * time (its probe, reports, paper prices), and the log of changes grows by the server's own work. What the template
 * calls passing is left out. It is read whole at worst, and most often only as far as the first table that differs.
 */
export async function sameAs(look: Look, { databases, volumes }: Manifest): Promise<Date | null> {
  const { backup } = look.facts.template.aviary;
  const known = (names: readonly string[], wanted: readonly string[]): boolean =>
    names.toSorted().join() === wanted.toSorted().join();
  if (
    !known(
      databases.map(({ service }) => service),
      backup.postgres,
    ) ||
    !known(
      volumes.map(({ volume }) => volume),
      backup.volumes,
    )
  ) {
    return null;
  }
  const moments: Date[] = [];
  for (const database of databases) {
    const at = await sameDatabase(look, database);
    if (at === null) {
      return null;
    }
    moments.push(at);
  }
  for (const volume of volumes) {
    if (!(await sameVolume(look, volume))) {
      return null;
    }
  }
  return moments.toSorted((a, b) => a.getTime() - b.getTime())[0] ?? null;
}

async function sameDatabase({ streams, facts, signal }: Look, known: DatabaseManifest): Promise<Date | null> {
  const place = databaseOf(facts, known.service);
  const passing = new Set(facts.template.aviary.backup.passing);
  const counts = new Map(known.tables.map((table) => [`${table.schema}.${table.name}`, table]));
  const session = await PsqlSession.open(streams, place, signal);
  try {
    await session.query('begin isolation level repeatable read, read only');
    const snapshot = await session.one('select pg_export_snapshot()');
    const at = new Date(Number(await session.one('select extract(epoch from now()) * 1000')));
    // A large object lies in no table of its own.
    if ((await session.one('select count(*) from pg_largeobject_metadata')) !== '0') {
      return null;
    }
    const tables = await tablesOf(session);
    if (tables.length !== counts.size) {
      return null;
    }
    for (const table of tables) {
      const before = counts.get(`${table.schema}.${table.name}`);
      if (before?.figure === undefined) {
        return null;
      }
      if (table.schema === 'public' && passing.has(table.name)) {
        continue;
      }
      const { rows, figure } = await readTable(session, table);
      if (rows !== before.rows || figure !== before.figure) {
        return null;
      }
    }
    return (await definitionOf({ streams, place, signal }, snapshot)) === known.definition ? at : null;
  } finally {
    await session.close().catch(() => undefined); // What broke it is told by what it broke.
  }
}

async function sameVolume({ streams, facts, signal }: Look, { volume, sha256 }: VolumeManifest): Promise<boolean> {
  const { spec, target } = placeOfVolume(facts, volume);
  const owner = { platform: facts.platformId, tenant: facts.tenantId };
  const meter = new Meter();
  const read = pipeline(await streams.pack(spec.name, owner, target, signal), meter);
  meter.resume();
  await Promise.all([read, finished(meter)]);
  return meter.sha256() === sha256;
}
