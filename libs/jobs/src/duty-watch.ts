import type { Duties } from '#libs/contracts';
import type { Database } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import { settleAlarms } from './alarms.js';
import { cronMatcher } from './cron.js';
import { dutyFindings, queueView, scheduleView, type Finding, type ScheduleFacts } from './domain/duty.js';
import { DEAD_LETTERS, QUEUE_SCHEMA } from './queue.js';

/** What recurring and waiting work there is and what became of it: from the rows alone, whoever runs or does not. */
export async function readDuties(database: Database, now: Date): Promise<Duties> {
  const [schedules, queues, [failed]] = await Promise.all([
    database.query<ScheduleFacts[]>(
      `select s.name, s.cron, s.job, s.grace_seconds as "graceSeconds", s.created_at as "createdAt",
              max(t.due_at) as "tickedAt", max(t.due_at) filter (where t.finished_at is not null) as "doneFor",
              max(t.finished_at) as "finishedAt",
              (count(*) filter (where t.due_at > $1::timestamptz - interval '1 day'
                and t.finished_at > t.due_at + s.grace_seconds * interval '1 second'))::int as "lateLastDay"
         from schedules s left join schedule_ticks t on t.schedule = s.name group by s.name order by s.name`,
      [now],
    ),
    database.query<{ name: string; waiting: number; running: number; oldest: number | null }[]>(
      `select name, count(*) filter (where due)::int as waiting, count(*) filter (where state = 'active')::int as running,
              extract(epoch from now() - min(start_after) filter (where due))::float8 as oldest
         from (select name, state, start_after, state in ('created', 'retry') and start_after <= now() as due
                 from ${QUEUE_SCHEMA}.job where name <> $1 and state < 'completed') open
        group by name order by name`,
      [DEAD_LETTERS],
    ),
    database.query<{ count: number }[]>(
      `select count(*)::int as count from ${QUEUE_SCHEMA}.job
        where name = $1 and created_on > now() - interval '1 day'`,
      [DEAD_LETTERS],
    ),
  ]);
  return {
    at: now.toISOString(),
    schedules: schedules.map((facts) => scheduleView(facts, cronMatcher(facts.cron), now)),
    queues: queues.map(({ oldest, ...queue }) => queueView({ ...queue, oldestWaitingSeconds: oldest })),
    failedLastDay: failed?.count ?? 0,
  };
}

/** Three looks: with the database away nothing newer is known, and what was known before is no news any more. */
const KNOWN_MS = 180_000;

interface WatchDeps {
  database: Database;
  logger: Pick<Logger, 'error' | 'info'>;
  now: () => Date;
  /** Milliseconds that never go back. */
  clock?: () => number;
}

/**
 * Raises an alarm for a schedule whose run was not seen, for a queue nobody works off and for jobs that failed for good.
 * Workers and agents run it: whichever of them is left says that the others are gone. Nothing is said at first sight,
 * because a portal that was away makes up for missed runs within seconds of its start.
 */
export class DutyWatch {
  private suspected: ReadonlySet<string> = new Set();
  /** In words, for a health check. */
  private wrong: readonly Finding[] = [];
  /** When the newest look that came to its end began. */
  private lookedAt: number | null = null;

  constructor(private readonly deps: WatchDeps) {}

  /** What was found twice in a row. */
  findings(): readonly Finding[] {
    return this.wrong;
  }

  /** False while what was found is too old to say anything: no look came to its end lately, or ever. */
  get known(): boolean {
    return this.lookedAt !== null && this.clock() - this.lookedAt < KNOWN_MS;
  }

  async turn(): Promise<void> {
    const { database, logger, now } = this.deps;
    const began = this.clock();
    const all = dutyFindings(await readDuties(database, now()));
    const findings = all.filter(({ key }) => this.suspected.has(key));
    const unsure = all.filter(({ key }) => !this.suspected.has(key)).map(({ key }) => key);
    this.suspected = new Set(all.map(({ key }) => key));
    this.wrong = findings;
    const { raised, ended } = await settleAlarms(database, 'duty', { findings, unsure }, now());
    raised.forEach(({ key, message }) => logger.error({ alarm: key }, message));
    ended.forEach((key) => logger.info({ alarm: key }, 'alarm over'));
    this.lookedAt = began;
  }

  private clock(): number {
    return this.deps.clock?.() ?? performance.now();
  }
}
