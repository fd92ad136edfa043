import { createTask, validate, type ScheduledTask } from 'node-cron';
import { type JobName, type JobPayload } from '#libs/contracts';
import { ScheduleEntity, ScheduleTickEntity, tx, type Database } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import { missedTimes } from './domain/due.js';
import type { HandlerEntry, Queue } from './queue.js';

export interface Schedule<N extends JobName = JobName> {
  /** Unique, and kept for ever: ticks are remembered by it. */
  name: string;
  /** Five fields, UTC. */
  cron: string;
  job: N;
  payload: JobPayload<N>;
  /** How many missed runs are made up for, newest first; 1 suits work that sweeps. */
  catchUp: number;
  /** How long after its time a run must have ended well; later, it counts as missed and an alarm is raised. */
  graceSeconds: number;
}

export interface SchedulerOptions {
  database: Database;
  queue: Queue;
  schedules: readonly Schedule[];
  logger: Logger;
  now: () => Date;
}

/**
 * Runs in every worker; none leads. A run is a row (schedule, due time) that only one can insert, in the transaction
 * that enqueues its job. Once a minute runs that no worker noticed are made up for.
 */
export class Scheduler {
  private readonly tasks = new Map<string, ScheduledTask>();
  private sweeper: NodeJS.Timeout | undefined;
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly options: SchedulerOptions) {
    for (const schedule of options.schedules) {
      if (!validate(schedule.cron) || schedule.cron.trim().split(/\s+/).length !== 5) {
        throw new Error(`Schedule ${schedule.name}: ${schedule.cron} is not a cron expression of five fields`);
      }
      if (this.tasks.has(schedule.name)) {
        throw new Error(`Two schedules are called ${schedule.name}`);
      }
      this.tasks.set(
        schedule.name,
        createTask(schedule.cron, ({ date }) => this.track(this.fire(schedule, date)), {
          timezone: 'UTC',
          suppressMissedWarning: true,
        }),
      );
    }
  }

  async start(): Promise<void> {
    await this.register();
    await this.catchUp();
    for (const task of this.tasks.values()) {
      await task.start();
    }
    this.sweeper = setInterval(() => this.track(this.catchUp()), 60_000);
  }

  async stop(): Promise<void> {
    clearInterval(this.sweeper);
    for (const task of this.tasks.values()) {
      await task.destroy();
    }
    await Promise.all(this.running);
  }

  /** Writes down what is expected, so that whoever looks need not have our code. */
  private async register(): Promise<void> {
    const { database, schedules, now } = this.options;
    await tx(database, async (inTx) => {
      for (const { name, cron, job, graceSeconds } of schedules) {
        await inTx
          .createQueryBuilder()
          .insert()
          .into(ScheduleEntity)
          .values({ name, cron, job, graceSeconds, createdAt: now() })
          .orUpdate(['cron', 'job', 'grace_seconds'], ['name'])
          .execute();
      }
      await inTx.query('delete from schedules where name <> all($1)', [schedules.map(({ name }) => name)]);
    });
  }

  /** True when this call is the one that enqueued the run. */
  async tick(schedule: Schedule, dueAt: Date): Promise<boolean> {
    const { database, queue, now } = this.options;
    return tx(database, async (inTx) => {
      const inserted = await inTx
        .createQueryBuilder()
        .insert()
        .into(ScheduleTickEntity)
        .values({ schedule: schedule.name, dueAt, createdAt: now() })
        .orIgnore()
        .returning('schedule')
        .execute();
      if ((inserted.raw as unknown[]).length === 0) {
        return false;
      }
      await queue.enqueue(inTx, schedule.job, schedule.payload, { singletonKey: `schedule/${schedule.name}` });
      return true;
    });
  }

  /** Inserts the ticks missed since each schedule's last one. A schedule that never ran waits for its first time. */
  async catchUp(): Promise<void> {
    const { database, logger, now } = this.options;
    for (const schedule of this.options.schedules) {
      const task = this.tasks.get(schedule.name);
      const last = await database
        .getRepository(ScheduleTickEntity)
        .findOne({ where: { schedule: schedule.name }, order: { dueAt: 'DESC' } });
      if (!task || !last) {
        continue;
      }
      // Not the running minute: its own cron fires in it, and a run counts as missed only once it is late.
      const until = new Date(now().getTime() - 60_000);
      const { due, dropped } = missedTimes((at) => task.match(at), { last: last.dueAt, now: until }, schedule.catchUp);
      for (const at of due) {
        if (await this.tick(schedule, at)) {
          logger.warn({ schedule: schedule.name, dueAt: at, dropped }, 'a scheduled run was missed and is made up for');
        }
      }
    }
  }

  private async fire(schedule: Schedule, date: Date): Promise<void> {
    const dueAt = new Date(Math.floor(date.getTime() / 60_000) * 60_000);
    const won = await this.tick(schedule, dueAt);
    this.options.logger.debug({ schedule: schedule.name, dueAt, won }, 'a schedule is due');
  }

  /** Errors end here and are logged, since the next minute's look makes up for the run that failed. */
  private track(work: Promise<void>): void {
    const done: Promise<void> = work
      .catch((err: unknown) => this.options.logger.error({ err }, 'a schedule could not be ticked'))
      .finally(() => this.running.delete(done));
    this.running.add(done);
  }
}

/**
 * The handlers, each noting the runs its end accounts for: those that were due when it began. Of several that waited
 * for one job all are done with it.
 */
export function notingRuns(
  entries: readonly HandlerEntry[],
  { database, schedules, now }: Pick<SchedulerOptions, 'database' | 'schedules' | 'now'>,
): HandlerEntry[] {
  return entries.map((entry) => {
    const names = schedules.filter(({ job }) => job === entry.name).map(({ name }) => name);
    if (names.length === 0) {
      return entry;
    }
    return {
      name: entry.name,
      handle: async (payload, context) => {
        const due: { schedule: string; newest: Date }[] = await database.query(
          `select schedule, max(due_at) as newest from schedule_ticks
            where schedule = any($1) and finished_at is null group by schedule`,
          [names],
        );
        await entry.handle(payload, context);
        for (const { schedule, newest } of due) {
          await database.query(
            `update schedule_ticks set finished_at = $3 where schedule = $1 and due_at <= $2 and finished_at is null`,
            [schedule, newest, now()],
          );
        }
      },
    };
  });
}
