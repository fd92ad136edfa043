import type { Database } from '#libs/db';
import { queueDepths, readDuties } from '#libs/jobs';
import { backupAges, overdueBackups, portalBackupAge } from '#libs/tenants';
import { createRegistry, Gauge } from '#libs/telemetry';

/** What the worker tells a scraper: the queue of the whole platform, its mails, recurring work and alarms. */
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
  private readonly lastRun = this.gauge(
    'aviary_schedule_last_run_age_seconds',
    'Since the newest run of recurring work that ended well; not told before the first.',
    ['schedule'],
  );
  private readonly missed = this.gauge(
    'aviary_schedule_missed_runs',
    'Runs of recurring work that should have ended well by now and did not, since the last that did.',
    ['schedule'],
  );
  private readonly alarms = this.gauge('aviary_alarms_open', 'Alarms that are open.', ['severity', 'acknowledged']);
  private readonly backupAge = this.gauge(
    'aviary_backup_age_seconds',
    'Longest for which what a running stack did is in no verified backup; 0 when none runs.',
    [],
  );
  private readonly unprotected = this.gauge(
    'aviary_backups_overdue',
    'Running stacks whose work has been in no verified backup for longer than their plans allow.',
    [],
  );

  private readonly backups = this.gauge('aviary_backups', 'Backups by how far they came.', ['state']);
  private readonly pruneFailed = this.gauge(
    'aviary_backup_prunes_failed',
    'Stacks of which the newest try to remove backups that are kept no longer failed.',
    [],
  );

  private readonly portalBackupAge = this.gauge(
    'aviary_portal_backup_age_seconds',
    'For how long what the portal did is in no verified backup of its own database.',
    [],
  );
  private readonly portalBackups = this.gauge(
    'aviary_portal_backups',
    'Backups of the portal’s own database by how far they came.',
    ['state'],
  );

  constructor(private readonly database: Database) {}

  async read(): Promise<string> {
    const depths = await queueDepths(this.database);
    const mails: { state: string; n: number }[] = await this.database.query(
      `select state, count(*)::int as n from outbox_mails where state in ('queued', 'failed') group by state`,
    );
    const { at, schedules } = await readDuties(this.database, new Date());
    const alarms: { severity: string; acknowledged: boolean; n: number }[] = await this.database.query(
      `select severity, acknowledged_at is not null as acknowledged, count(*)::int as n
         from alarms where ended_at is null group by 1, 2`,
    );
    const ages = await backupAges(this.database, new Date());
    this.backupAge.set(ages[0]?.seconds ?? 0);
    this.unprotected.set(overdueBackups(ages).length);
    this.backups.reset();
    for (const { state, n } of await this.database.query<{ state: string; n: number }[]>(
      'select state, count(*)::int as n from backups group by state',
    )) {
      this.backups.set({ state }, n);
    }
    this.portalBackupAge.set((await portalBackupAge(this.database, new Date())).seconds);
    this.portalBackups.reset();
    for (const { state, n } of await this.database.query<{ state: string; n: number }[]>(
      'select state, count(*)::int as n from portal_backups group by state',
    )) {
      this.portalBackups.set({ state }, n);
    }
    const [prunes] = await this.database.query<{ failed: number }[]>(
      `select count(*)::int as failed from tenants t where 'failed' =
         (select state from operations where tenant_id = t.id and kind = 'prune' order by id desc limit 1)`,
    );
    this.pruneFailed.set(prunes?.failed ?? 0);
    this.lastRun.reset();
    this.missed.reset();
    for (const { name: schedule, finishedAt, missed } of schedules) {
      if (finishedAt !== null) {
        this.lastRun.set({ schedule }, (Date.parse(at) - Date.parse(finishedAt)) / 1_000);
      }
      this.missed.set({ schedule }, missed);
    }
    for (const severity of ['warning', 'critical']) {
      for (const acknowledged of [true, false]) {
        const found = alarms.find((row) => row.severity === severity && row.acknowledged === acknowledged);
        this.alarms.set({ severity, acknowledged: String(acknowledged) }, found?.n ?? 0);
      }
    }
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
