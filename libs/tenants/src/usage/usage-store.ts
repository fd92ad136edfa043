import type { ServiceUse } from '#libs/contracts';
import type { Database } from '#libs/db';

/** What one stack used since the pass before. */
export interface UsageSample {
  tenantId: string;
  cpu: number | null;
  memoryBytes: number;
  diskBytes: number | null;
  receivedBytes: number | null;
  sentBytes: number | null;
  services: readonly ServiceUse[];
}

export interface EngineSample {
  cpu: number | null;
  cores: number;
  memoryBytes: number;
  memoryTotalBytes: number;
  diskBytes: number;
  diskTotalBytes: number;
  receivedBytes: number | null;
  sentBytes: number | null;
}

/** Seconds between two passes; the finest that is kept. */
export const SAMPLE_SECONDS = 60;

/**
 * Samples of one step are kept this long, then only as part of the next: at 500 stacks some 7 million rows of about
 * 100 bytes when all of it is full.
 */
const KEPT: readonly { step: number; days: number }[] = [
  { step: SAMPLE_SECONDS, days: 1 },
  { step: 300, days: 14 },
  { step: 3_600, days: 366 },
];

/** Writes one pass: all stacks in one statement, then the coarser spans it falls into. */
export async function recordUsage(
  database: Database,
  pass: { engineId: string; at: Date; stacks: readonly UsageSample[]; engine: EngineSample },
): Promise<void> {
  const { engine, engineId, at } = pass;
  // The lock keeps a stack from going between the look at it and the end of the statement.
  await database.query(
    `with t as (select id from tenants where engine_id = $1 for key share)
     insert into tenant_usage (tenant_id, step_seconds, at, cpu, memory_bytes, memory_max_bytes, disk_bytes,
                               received_bytes, sent_bytes, services)
     select t.id, $2, $3, s.cpu, s."memoryBytes", s."memoryBytes", s."diskBytes", s."receivedBytes", s."sentBytes",
            s.services
       from jsonb_to_recordset($4::jsonb) as s ("tenantId" uuid, cpu float8, "memoryBytes" bigint,
            "diskBytes" bigint, "receivedBytes" bigint, "sentBytes" bigint, services jsonb)
       join t on t.id = s."tenantId"`,
    [engineId, SAMPLE_SECONDS, at, JSON.stringify(pass.stacks)],
  );
  await database.query(
    `insert into engine_usage (engine_id, step_seconds, at, cpu, cores, memory_bytes, memory_max_bytes,
                               memory_total_bytes, disk_bytes, disk_total_bytes, received_bytes, sent_bytes)
     values ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11)`,
    [
      engineId,
      SAMPLE_SECONDS,
      at,
      engine.cpu,
      engine.cores,
      engine.memoryBytes,
      engine.memoryTotalBytes,
      engine.diskBytes,
      engine.diskTotalBytes,
      engine.receivedBytes,
      engine.sentBytes,
    ],
  );
  let from = SAMPLE_SECONDS;
  for (const { step } of KEPT.slice(1)) {
    await database.query(ROLL_STACKS, [engineId, from, step, at]);
    await database.query(ROLL_ENGINE, [engineId, from, step, at]);
    from = step;
  }
}

/**
 * The span under way and the one before are made anew from the finer samples: however often it runs it says the same,
 * and what one pass failed to write the next makes good.
 */
const ROLL_STACKS = `
  with t as (select id from tenants where engine_id = $1 for key share)
  insert into tenant_usage (tenant_id, step_seconds, at, cpu, memory_bytes, memory_max_bytes, disk_bytes,
                            received_bytes, sent_bytes)
  select u.tenant_id, $3::int, date_bin(make_interval(secs => $3), u.at, 'epoch') as span, avg(u.cpu),
         avg(u.memory_bytes)::bigint, max(u.memory_max_bytes), max(u.disk_bytes), sum(u.received_bytes)::bigint,
         sum(u.sent_bytes)::bigint
    from tenant_usage u join t on t.id = u.tenant_id
   where u.step_seconds = $2 and u.at <= $4
     and u.at >= date_bin(make_interval(secs => $3), $4::timestamptz - make_interval(secs => $3), 'epoch')
   group by u.tenant_id, span
  on conflict (tenant_id, step_seconds, at) do update
    set cpu = excluded.cpu, memory_bytes = excluded.memory_bytes, memory_max_bytes = excluded.memory_max_bytes,
        disk_bytes = excluded.disk_bytes, received_bytes = excluded.received_bytes, sent_bytes = excluded.sent_bytes`;

const ROLL_ENGINE = `
  insert into engine_usage (engine_id, step_seconds, at, cpu, cores, memory_bytes, memory_max_bytes,
                            memory_total_bytes, disk_bytes, disk_total_bytes, received_bytes, sent_bytes)
  select engine_id, $3::int, date_bin(make_interval(secs => $3), at, 'epoch') as span, avg(cpu), max(cores),
         avg(memory_bytes)::bigint, max(memory_max_bytes), max(memory_total_bytes), max(disk_bytes),
         max(disk_total_bytes), sum(received_bytes)::bigint, sum(sent_bytes)::bigint
    from engine_usage
   where engine_id = $1 and step_seconds = $2 and at <= $4
     and at >= date_bin(make_interval(secs => $3), $4::timestamptz - make_interval(secs => $3), 'epoch')
   group by engine_id, span
  on conflict (engine_id, step_seconds, at) do update
    set cpu = excluded.cpu, cores = excluded.cores, memory_bytes = excluded.memory_bytes,
        memory_max_bytes = excluded.memory_max_bytes, memory_total_bytes = excluded.memory_total_bytes,
        disk_bytes = excluded.disk_bytes, disk_total_bytes = excluded.disk_total_bytes,
        received_bytes = excluded.received_bytes, sent_bytes = excluded.sent_bytes`;

/** Removes what is older than its step is kept, of whatever engine. Resolves with the number of rows. */
export async function pruneUsage(database: Database, now: Date): Promise<number> {
  let removed = 0;
  for (const { step, days } of KEPT) {
    for (const table of ['tenant_usage', 'engine_usage']) {
      const [, count]: [unknown, number] = await database.query(
        `delete from ${table} where step_seconds = $1 and at < $2::timestamptz - make_interval(days => $3)`,
        [step, now, days],
      );
      removed += count;
    }
  }
  return removed;
}
