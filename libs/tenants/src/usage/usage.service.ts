import {
  DomainError,
  type Actor,
  type HostUsage,
  type MemoryGrowth,
  type ServiceUse,
  type StackUsage,
  type UsagePoint,
  type UsageRange,
} from '#libs/contracts';
import type { Database, Tx } from '#libs/db';
import { ownerScope, requireActor } from '../authorise.js';
import { memoryGrowth, usageAlerts, type MemorySample } from '../domain/usage.js';
import { findTenants } from '../stack.repository.js';
import { SAMPLE_SECONDS } from './usage-store.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const HOUR = 3_600;
const DAY = 24 * HOUR;

/** What a range is drawn from: samples of `step`, taken together where a screen could not show them all. */
const RANGES: Record<UsageRange, { seconds: number; step: number; span: number }> = {
  hour: { seconds: HOUR, step: SAMPLE_SECONDS, span: SAMPLE_SECONDS },
  day: { seconds: DAY, step: 300, span: 300 },
  week: { seconds: 7 * DAY, step: 300, span: 1_800 },
  month: { seconds: 31 * DAY, step: HOUR, span: 2 * HOUR },
  year: { seconds: 366 * DAY, step: HOUR, span: DAY },
};

/** Older says nothing about now: five passes were missed. */
const FRESH_SECONDS = 5 * SAMPLE_SECONDS;
/** A minute's burst is what a processor is for; five minutes at the limit are not. */
const CPU_OVER_SECONDS = 5 * SAMPLE_SECONDS;
const GROWTH_SECONDS = 6 * HOUR;

/** What stacks and hosts used, for whoever may see it. */
export class UsageService {
  constructor(private readonly deps: { database: Database; now: () => Date }) {}

  /** Throws NOT_FOUND for a stack that is not the actor's; operators see every stack. */
  async ofStack(actor: Actor, slug: string, range: UsageRange): Promise<StackUsage> {
    const db = this.deps.database.manager;
    const now = this.deps.now();
    const [tenant] = await findTenants(db, { accountId: ownerScope(actor), slug, limit: 1 });
    if (!tenant) {
      throw new DomainError('NOT_FOUND', { message: `There is no stack ${slug}, or it is not yours.` });
    }
    const limits = {
      cpus: tenant.limits.cpus,
      memoryBytes: tenant.limits.memoryMb * MIB,
      diskBytes: tenant.limits.diskGb * GIB,
    };
    const [points, recent, disk, growth] = await Promise.all([
      readPoints(db, 'tenant', tenant.id, range, now),
      readRecent(db, tenant.id, now),
      newestDisk(db, tenant.id),
      readMemoryGrowth(db, tenant.id, now),
    ]);
    const newest = recent.at(-1);
    const latest = newest ? { ...point(newest), diskBytes: disk } : null;
    const services = newest?.services ?? [];
    return {
      slug,
      range,
      stepSeconds: RANGES[range].span,
      limits,
      points,
      latest,
      services,
      alerts: usageAlerts(
        { cpu: average(recent), memoryBytes: latest?.memoryBytes ?? 0, diskBytes: disk },
        limits,
        services,
      ),
      growth,
    };
  }

  /** Every host there is; for operators. */
  async ofHosts(actor: Actor, range: UsageRange): Promise<HostUsage> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const db = this.deps.database.manager;
    const now = this.deps.now();
    const engines: { id: string }[] = await db.query('select id from engines order by id');
    return {
      items: await Promise.all(
        engines.map(async ({ id }) => {
          const [points, recent] = await Promise.all([
            readPoints(db, 'engine', id, range, now),
            readHostRecent(db, id, now),
          ]);
          const newest = recent.at(-1);
          const limits = newest
            ? {
                cpus: newest.cores,
                memoryBytes: Number(newest.memory_total_bytes),
                diskBytes: Number(newest.disk_total_bytes),
              }
            : null;
          const latest = newest ? point(newest) : null;
          return {
            engine: id,
            range,
            stepSeconds: RANGES[range].span,
            limits,
            points,
            latest,
            alerts: latest && limits ? usageAlerts({ ...latest, cpu: average(recent) }, limits) : [],
          };
        }),
      ),
    };
  }
}

/** Sums and sizes of the driver are text. */
interface Row {
  at: Date;
  cpu: number | null;
  memory_bytes: string;
  memory_max_bytes: string;
  disk_bytes: string | null;
  received_bytes: string | null;
  sent_bytes: string | null;
}

const whole = (text: string | null): number | null => (text === null ? null : Number(text));

const point = (row: Row): UsagePoint => ({
  at: row.at.toISOString(),
  cpu: row.cpu,
  memoryBytes: Number(row.memory_bytes),
  memoryMaxBytes: Number(row.memory_max_bytes),
  diskBytes: whole(row.disk_bytes),
  receivedBytes: whole(row.received_bytes),
  sentBytes: whole(row.sent_bytes),
});

async function readPoints(
  db: Tx,
  of: 'tenant' | 'engine',
  id: string,
  range: UsageRange,
  now: Date,
): Promise<UsagePoint[]> {
  const { seconds, step, span } = RANGES[range];
  const rows: Row[] = await db.query(
    `select date_bin(make_interval(secs => $3), at, 'epoch') as at, avg(cpu) as cpu,
            avg(memory_bytes)::bigint as memory_bytes, max(memory_max_bytes) as memory_max_bytes,
            max(disk_bytes) as disk_bytes, sum(received_bytes)::bigint as received_bytes,
            sum(sent_bytes)::bigint as sent_bytes
       from ${of}_usage
      where ${of}_id = $1 and step_seconds = $2 and at > $4::timestamptz - make_interval(secs => $5) and at <= $4
      group by 1 order by 1`,
    [id, step, span, now, seconds],
  );
  return rows.map(point);
}

async function readRecent(db: Tx, id: string, now: Date): Promise<(Row & { services: ServiceUse[] | null })[]> {
  return db.query(
    `select * from tenant_usage
      where tenant_id = $1 and step_seconds = $2 and at > $3::timestamptz - make_interval(secs => $4) and at <= $3
      order by at`,
    [id, SAMPLE_SECONDS, now, FRESH_SECONDS],
  );
}

async function readHostRecent(
  db: Tx,
  id: string,
  now: Date,
): Promise<(Row & { cores: number; memory_total_bytes: string; disk_total_bytes: string })[]> {
  return db.query(
    `select * from engine_usage
      where engine_id = $1 and step_seconds = $2 and at > $3::timestamptz - make_interval(secs => $4) and at <= $3
      order by at`,
    [id, SAMPLE_SECONDS, now, FRESH_SECONDS],
  );
}

async function newestDisk(db: Tx, id: string): Promise<number | null> {
  const [row]: { disk_bytes: string }[] = await db.query(
    `select disk_bytes from tenant_usage
      where tenant_id = $1 and step_seconds = $2 and disk_bytes is not null order by at desc limit 1`,
    [id, SAMPLE_SECONDS],
  );
  return whole(row?.disk_bytes ?? null);
}

/** Services whose memory only grows towards its limit, the one with the least time left first. */
export async function readMemoryGrowth(db: Tx, id: string, now: Date): Promise<MemoryGrowth[]> {
  const rows: { at: Date; services: ServiceUse[] }[] = await db.query(
    `select at, services from tenant_usage
      where tenant_id = $1 and step_seconds = $2 and services is not null
        and at > $3::timestamptz - make_interval(secs => $4) and at <= $3
      order by at`,
    [id, SAMPLE_SECONDS, now, GROWTH_SECONDS],
  );
  const byService = new Map<string, { samples: MemorySample[]; limit: number | null }>();
  for (const { at, services } of rows) {
    for (const { service, memoryBytes, memoryLimitBytes } of services) {
      const known = byService.get(service) ?? { samples: [], limit: null };
      known.samples.push({ at: at.getTime(), bytes: memoryBytes });
      byService.set(service, { ...known, limit: memoryLimitBytes });
    }
  }
  return [...byService]
    .map(([service, { samples, limit }]) => memoryGrowth(service, samples, limit))
    .filter((growth) => growth !== null)
    .toSorted((a, b) => a.hoursLeft - b.hoursLeft);
}

/** Over the newest minutes; null while too little was measured to call it lasting. */
function average(rows: readonly Row[]): number | null {
  const measured = rows.map(({ cpu }) => cpu).filter((cpu) => cpu !== null);
  return measured.length * SAMPLE_SECONDS < CPU_OVER_SECONDS - SAMPLE_SECONDS
    ? null
    : measured.reduce((sum, cpu) => sum + cpu, 0) / measured.length;
}
