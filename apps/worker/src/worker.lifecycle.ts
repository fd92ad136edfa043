import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import type { Database } from '#libs/db';
import type { DutyWatch, HandlerEntry, Queue, Scheduler } from '#libs/jobs';
import type { MailSender } from '#libs/support';
import type { Logger } from '#libs/telemetry';
import type { AgentWatch } from './agent-watch.js';
import { WorkerMetrics } from './worker-metrics.js';

export interface WorkerParts {
  database: Database;
  queue: Queue;
  scheduler: Scheduler;
  sender: MailSender | null;
  handlers: readonly HandlerEntry[];
  watch: DutyWatch;
  agents: AgentWatch;
  logger: Logger;
}

/** Jobs of one name at the same time: mails wait for a server, nothing here needs more. */
const CONCURRENCY = 2;
/** Shorter than Docker's ten seconds between SIGTERM and SIGKILL. */
const STOP_MS = 8_000;
const WATCH_MS = 60_000;

/** Starts and ends the parts in the one order that loses nothing: what makes work stops before what does it. */
export class WorkerLifecycle implements OnApplicationBootstrap, OnApplicationShutdown {
  private watching: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();

  private readonly figures: WorkerMetrics;

  constructor(private readonly parts: WorkerParts) {
    this.figures = new WorkerMetrics(parts.database);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.parts.queue.start();
    await this.parts.queue.workAll('worker', this.parts.handlers, { concurrency: CONCURRENCY });
    await this.parts.scheduler.start();
    this.watching = setInterval(() => {
      this.looking = this.look();
    }, WATCH_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.watching);
    await this.looking;
    await this.parts.scheduler.stop();
    await this.parts.queue.stop(STOP_MS);
    this.parts.sender?.close();
    await this.parts.database.destroy();
  }

  /** Where one cannot look, the database is away: the other still tries, and the next look comes by itself. */
  private async look(): Promise<void> {
    const { watch, agents, logger } = this.parts;
    await Promise.all([
      watch.turn().catch((err: unknown) => logger.error({ err }, 'could not look for missed work')),
      agents.turn().catch((err: unknown) => logger.error({ err }, 'could not look for signs of life of agents')),
    ]);
  }

  /** What a scraper reads. */
  async metrics(): Promise<string> {
    return this.figures.read();
  }

  /** Throws when the worker could not do its work now, or when work that is due is not done. */
  async check(): Promise<void> {
    await this.parts.database.query('select 1');
    const wrong = this.parts.watch.findings().filter(({ severity }) => severity === 'critical');
    if (wrong.length > 0) {
      throw new DutyMissed(wrong.map(({ message }) => message).join(' '));
    }
  }
}

/** Work that is due is not done; the message tells operators which and what to do. */
export class DutyMissed extends Error {}
