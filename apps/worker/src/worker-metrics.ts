import type { Database } from '#libs/db';
import { queueDepths } from '#libs/jobs';
import { createRegistry, Gauge } from '#libs/telemetry';

/** What the worker tells a scraper: the queue of the whole platform and its mails. */
export class WorkerMetrics {
  private readonly registry = createRegistry();
  private readonly jobs = this.gauge('aviary_jobs', 'Jobs by queue: waiting to be due, due, and under way.', [
    'queue',
    'state',
  ]);
  private readonly oldest = this.gauge(
    'aviary_jobs_oldest_seconds',
    'How long the job that has been due longest has waited; 0 when none does.',
    ['queue'],
  );
  private readonly mails = this.gauge('aviary_mails', 'Mails of the outbox that are not sent.', ['state']);

  constructor(private readonly database: Database) {}

  async read(): Promise<string> {
    const depths = await queueDepths(this.database);
    const mails: { state: string; n: number }[] = await this.database.query(
      `select state, count(*)::int as n from outbox_mails where state in ('queued', 'failed') group by state`,
    );
    this.jobs.reset();
    this.oldest.reset();
    this.mails.reset();
    for (const { queue, later, due, active, oldestSeconds } of depths) {
      this.jobs.set({ queue, state: 'later' }, later);
      this.jobs.set({ queue, state: 'due' }, due);
      this.jobs.set({ queue, state: 'active' }, active);
      this.oldest.set({ queue }, oldestSeconds);
    }
    for (const state of ['queued', 'failed']) {
      this.mails.set({ state }, mails.find((row) => row.state === state)?.n ?? 0);
    }
    return this.registry.metrics();
  }

  private gauge<L extends string>(name: string, help: string, labelNames: L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }
}
