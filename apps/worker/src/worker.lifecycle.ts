import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import type { Database } from '#libs/db';
import type { HandlerEntry, Queue, Scheduler } from '#libs/jobs';
import type { MailSender } from '#libs/support';

export interface WorkerParts {
  database: Database;
  queue: Queue;
  scheduler: Scheduler;
  sender: MailSender | null;
  handlers: readonly HandlerEntry[];
}

/** Jobs of one name at the same time: mails wait for a server, nothing here needs more. */
const CONCURRENCY = 2;
/** Shorter than Docker's ten seconds between SIGTERM and SIGKILL. */
const STOP_MS = 8_000;

/** Starts and ends the parts in the one order that loses nothing: what makes work stops before what does it. */
export class WorkerLifecycle implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(private readonly parts: WorkerParts) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.parts.queue.start();
    await this.parts.queue.workAll('worker', this.parts.handlers, { concurrency: CONCURRENCY });
    await this.parts.scheduler.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.parts.scheduler.stop();
    await this.parts.queue.stop(STOP_MS);
    this.parts.sender?.close();
    await this.parts.database.destroy();
  }

  /** Throws when the worker could not do its work now. */
  async check(): Promise<void> {
    await this.parts.database.query('select 1');
  }
}
