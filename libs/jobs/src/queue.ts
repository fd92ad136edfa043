import { PgBoss, type JobWithMetadata } from 'pg-boss';
import { JOBS, type JobName, type JobPayload } from '#libs/contracts';
import { newId, type Tx } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import { handlerProblems, jobsOf, laneOf } from './domain/lanes.js';
import { PermanentError } from './permanent-error.js';

export const QUEUE_SCHEMA = 'pgboss';
/** Where jobs end that failed for good; kept 30 days for a person to look at. */
export const DEAD_LETTERS = 'dead-letters';

/** A killed worker's job is taken by another after this long without a heartbeat; pg-boss's smallest value. */
const HEARTBEAT_SECONDS = 10;
/**
 * Who works is told of a new job at once; retries and what is due later it finds by looking, so this bounds how late. A
 * worker has two dozen slots: looked at each second for all of them, it cost more than all else that an idle portal does.
 */
const LOOK_SECONDS = { waitedFor: 1, other: 5 };

export interface QueueOptions {
  url: string;
  applicationName: string;
  logger: Logger;
  /** Connections of the queue itself, besides one that listens; 4 unless told. */
  poolSize?: number;
  /** Also looks every two seconds for jobs of dead workers, and clears what is done. True unless told: whoever works does. */
  supervise?: boolean;
}

export interface JobContext {
  /** Aborts when the process stops or the job has run for too long. */
  signal: AbortSignal;
  /** 1 for the first run. */
  attempt: number;
  /** True when no retry follows a failure of this run. */
  last: boolean;
}

export type JobHandler<N extends JobName> = (payload: JobPayload<N>, context: JobContext) => Promise<void>;
export type JobHandlers = Partial<{ [N in JobName]: JobHandler<N> }>;

export interface EnqueueOptions {
  /** Which engine's agent is to do it; required for jobs bound to an engine, without effect on others. */
  engineId?: string;
  /** At most one waiting job of this name and key: a second is dropped. A running one does not count. */
  singletonKey?: string;
  /** Not to be begun sooner. */
  afterSeconds?: number;
}

export interface WorkOptions {
  engineId?: string;
  /** Jobs of one name at the same time in this process; 1 unless told. */
  concurrency?: number;
}

/** The one durable queue, in the portal's Postgres. */
export class Queue {
  private readonly boss: PgBoss;
  private readonly lanes = new Map<string, Promise<void>>();

  constructor(private readonly options: QueueOptions) {
    this.boss = new PgBoss({
      connectionString: options.url,
      application_name: `${options.applicationName}-queue`,
      schema: QUEUE_SCHEMA,
      max: options.poolSize ?? 4,
      // The app role may not change tables; `installQueue` does it as the owner.
      migrate: false,
      createSchema: false,
      reindex: false,
      monitorVacuum: false,
      schedule: false,
      useListenNotify: true,
      supervise: options.supervise ?? true,
      // How often dead workers' jobs are looked for: together with the heartbeat, another takes one within ~13 s.
      superviseIntervalSeconds: 2,
      monitorIntervalSeconds: 2,
    });
    this.boss.on('error', (err) => options.logger.error({ err }, 'queue error'));
    this.boss.on('warning', (warning) => options.logger.warn({ warning }, 'queue warning'));
  }

  async start(): Promise<void> {
    await this.boss.start();
  }

  /** Takes no new jobs, waits for running ones, then aborts what is left and hands it back for a retry. */
  async stop(timeoutMs = 10_000): Promise<void> {
    await this.boss.stop({ graceful: true, timeout: timeoutMs });
  }

  /**
   * Durable when `tx` commits, gone when it rolls back; false when one of that `singletonKey` waits already. Throws at
   * once when the payload is not the contract's.
   */
  async enqueue<N extends JobName>(
    tx: Tx,
    name: N,
    payload: JobPayload<N>,
    options: EnqueueOptions = {},
  ): Promise<boolean> {
    const lane = laneOf(name, options.engineId);
    const data = JOBS[name].payload.parse(payload);
    await this.ensureLane(name, lane);
    const id = await this.boss.send(lane, data, {
      db: { executeSql: async (text, values) => ({ rows: await tx.query(text, values) }) },
      // The queues' policy allows one waiting job per key, so jobs that may pile up get a key of their own.
      singletonKey: options.singletonKey ?? newId(),
      ...(options.afterSeconds === undefined ? {} : { startAfter: options.afterSeconds }),
    });
    return id !== null;
  }

  /** Begins to take jobs of the names in `handlers`. */
  async work(handlers: JobHandlers, options: WorkOptions = {}): Promise<void> {
    for (const name of Object.keys(handlers) as JobName[]) {
      await this.workOne(name, handlers[name] as JobHandler<JobName>, options);
    }
  }

  /** As `work`, for a whole process: throws unless every job of that process has exactly one handler. */
  async workAll(
    process: 'worker' | 'agent',
    handlers: readonly HandlerEntry[],
    options: WorkOptions = {},
  ): Promise<void> {
    const problems = handlerProblems(
      jobsOf(process),
      handlers.map((entry) => entry.name),
    );
    if (problems.length > 0) {
      throw new Error(`The ${process} cannot start: ${problems.join('; ')}`);
    }
    for (const entry of handlers) {
      await this.workOne(entry.name, entry.handle, options);
    }
  }

  /** Jobs that failed for good and still lie there. */
  async deadLetters(): Promise<{ id: string; name: string; data: unknown; failedAt: Date }[]> {
    const rows = await this.boss.findJobs(DEAD_LETTERS);
    return rows.map((row) => ({
      id: row.id,
      name: (row as { sourceName?: string | null }).sourceName ?? DEAD_LETTERS,
      data: row.data,
      failedAt: row.createdOn,
    }));
  }

  private async workOne(name: JobName, handle: JobHandler<JobName>, options: WorkOptions): Promise<void> {
    const lane = laneOf(name, options.engineId);
    await this.ensureLane(name, lane);
    for (let slot = 0; slot < (options.concurrency ?? 1); slot += 1) {
      let workerId = '';
      workerId = await this.boss.work(
        lane,
        {
          batchSize: 1,
          includeMetadata: true,
          perJobResults: true,
          pollingIntervalSeconds: LOOK_SECONDS.waitedFor,
          // One slot of a lane looks often: where it has work the others find what is due as late as in any lane.
          notifyPollingIntervalSeconds: LOOK_SECONDS['waitedFor' in JOBS[name] && slot === 0 ? 'waitedFor' : 'other'],
        },
        async (jobs) => {
          const results = [];
          for (const job of jobs) {
            results.push(await this.run(name, handle, job));
          }
          // Look again at once: with more jobs than slots the next would otherwise wait for a poll.
          this.boss.notifyWorker(workerId);
          return results;
        },
      );
    }
  }

  private async run(
    name: JobName,
    handle: JobHandler<JobName>,
    job: JobWithMetadata<unknown>,
  ): Promise<{ id: string; status: 'completed' | 'failed' | 'deadletter'; output?: object }> {
    const attempt = job.retryCount + 1;
    const exhausted = job.retryCount >= job.retryLimit;
    const log = this.options.logger.child({ job: name, jobId: job.id, attempt });
    try {
      const payload = JOBS[name].payload.safeParse(job.data);
      if (!payload.success) {
        throw new PermanentError('The payload is not what the contract says', { cause: payload.error });
      }
      await handle(payload.data as JobPayload<JobName>, { signal: job.signal, attempt, last: exhausted });
      return { id: job.id, status: 'completed' };
    } catch (error) {
      const permanent = error instanceof PermanentError;
      if (permanent || exhausted) {
        log.error({ err: error }, 'job failed for good');
      } else {
        log.warn({ err: error }, 'job failed, will be tried again');
      }
      const output = { message: error instanceof Error ? error.message : String(error) };
      return { id: job.id, status: permanent ? 'deadletter' : 'failed', output };
    }
  }

  /** Makes the lane the first time this process meets it; a lane is set up by whoever comes first. */
  private async ensureLane(name: JobName, lane: string): Promise<void> {
    const known = this.lanes.get(lane);
    if (known) {
      return known;
    }
    const made = this.makeLane(name, lane).catch((error: unknown) => {
      this.lanes.delete(lane);
      throw error;
    });
    this.lanes.set(lane, made);
    return made;
  }

  private async makeLane(name: JobName, lane: string): Promise<void> {
    const settings = laneSettings(name);
    const found = await this.boss.getQueue(lane);
    if (!found) {
      await this.boss.createQueue(lane, { ...settings, policy: 'short' });
      return;
    }
    const changed = Object.entries(settings).some(([key, value]) => found[key as keyof typeof found] !== value);
    if (changed) {
      await this.boss.updateQueue(lane, settings);
    }
  }
}

export function createQueue(options: QueueOptions): Queue {
  return new Queue(options);
}

export interface HandlerEntry {
  name: JobName;
  handle: JobHandler<JobName>;
}

/** An entry for `workAll`, with the payload's type of that job. */
export function handler<N extends JobName>(name: N, handle: JobHandler<N>): HandlerEntry {
  return { name, handle: handle as JobHandler<JobName> };
}

function laneSettings(name: JobName) {
  return {
    retryLimit: JOBS[name].retryLimit,
    retryDelay: JOBS[name].retryDelay,
    retryBackoff: true,
    retryDelayMax: 900,
    // An operation has deadlines of its own per phase; this only catches a handler that never ends.
    expireInSeconds: JOBS[name].perEngine ? 3_600 : 600,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    deleteAfterSeconds: 3 * 86_400,
    deadLetter: DEAD_LETTERS,
    notify: true,
  };
}
