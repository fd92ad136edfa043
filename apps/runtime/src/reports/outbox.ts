import { createHash, type KeyObject } from 'node:crypto';
import { v7 as newId } from 'uuid';
import { backoffMs } from '#libs/async';
import { reportBatchResponseSchema, type Report } from '#libs/contracts';
import { signToken } from '#libs/crypto';
import type { Logger } from '#libs/telemetry';
import type { Database, Sql } from '../database/database.js';
import type { PortalClient } from './portal-client.js';

const BATCH = 100;
/** About what was sent: the same body gets the same answer. Others (401, 429, 5xx) are about the moment. */
const REFUSALS = new Set([400, 413, 422]);
const REFUSED_KEPT_MS = 90 * 86_400_000;
/** One lost request is no news; two in a row, a second apart, are. */
const AWAY_AFTER = 2;
const BACKOFF = { baseMs: 1_000, maxMs: 300_000 };

export interface OutboxDeps {
  database: Database;
  client: PortalClient;
  logger: Logger;
  key: KeyObject;
  tenant: string;
  portalUrl: string;
}

export async function addEvent(
  sql: Sql,
  event: { event: string; bot: string | null; text: string; at: Date },
): Promise<void> {
  const report: Report = {
    id: newId(),
    kind: 'event',
    at: event.at.toISOString(),
    event: event.event,
    bot: event.bot,
    text: event.text.slice(0, 500),
  };
  await sql('insert into outbox (id, kind, body) values ($1, $2, $3)', [report.id, report.kind, report]);
}

/**
 * What the portal is told. Events are kept until the portal says they are stored; of heartbeats only the newest. A
 * report keeps its id over all attempts, so the portal stores it once however often it comes. One that the portal will
 * not have is looked for by halving the batch and put aside with the reason, so that the others do not wait behind it.
 */
export class Outbox {
  private timer: NodeJS.Timeout | null = null;
  private failures = 0;
  private failedAt: Date | null = null;
  private size = BATCH;
  private sending: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(private readonly deps: OutboxDeps) {}

  async heartbeat(figures: { bots: number; runningBots: number; openOrders: number; equity: string }): Promise<void> {
    const report: Report = { id: newId(), kind: 'heartbeat', at: new Date().toISOString(), ...figures };
    await this.deps.database.sql(
      `insert into outbox (id, kind, body) values ($1, 'heartbeat', $2)
       on conflict (kind) where kind = 'heartbeat' do update
         set id = excluded.id, body = excluded.body, refused_at = null, refusal = null`,
      [report.id, report],
    );
    this.wake();
  }

  /** Since when the portal takes nothing; null while it does. */
  get awaySince(): Date | null {
    return this.failures >= AWAY_AFTER ? this.failedAt : null;
  }

  /** Sends soon: at once when all is well, else when the back-off says so. */
  wake(): void {
    if (this.timer === null && !this.closed) {
      // Full jitter keeps a thousand stacks from returning to a recovered portal in the same second.
      const wait =
        this.failures === 0
          ? 50
          : BACKOFF.baseMs + backoffMs(this.failures, BACKOFF.baseMs, BACKOFF.maxMs, Math.random());
      this.timer = setTimeout(() => {
        this.timer = null;
        this.sending = this.send();
      }, wait);
      this.timer.unref();
    }
  }

  private async send(): Promise<void> {
    try {
      const more = await this.sendBatch();
      this.failures = 0;
      if (more) {
        this.wake();
      }
    } catch (error) {
      this.failedAt = this.failures === 0 ? new Date() : this.failedAt;
      this.failures = Math.min(this.failures + 1, 20);
      const reason = error instanceof Error ? error.message : 'unknown';
      this.deps.logger.debug({ reason, failures: this.failures }, 'reports wait for the portal');
      this.wake();
    }
  }

  /** True when there is more to send. */
  private async sendBatch(): Promise<boolean> {
    const { database } = this.deps;
    const limit = this.size;
    const rows = await database.sql<{ body: Report }>(
      `select body from outbox where refused_at is null order by seq limit ${limit}`,
    );
    if (rows.length === 0) {
      return false;
    }
    const reports = rows.map((row) => row.body);
    const outcome = await this.post(reports);
    if (outcome.stored.length === 0) {
      await this.narrow(reports, outcome.reason);
      return true;
    }
    await database.sql('delete from outbox where id = any($1)', [outcome.stored]);
    this.size = BATCH;
    return rows.length === limit || outcome.stored.length < rows.length;
  }

  /** Half of a batch that was refused; a single report that was is put aside. */
  private async narrow(reports: readonly Report[], reason: string): Promise<void> {
    if (reports.length > 1) {
      this.size = Math.ceil(reports.length / 2);
      return;
    }
    this.size = BATCH;
    const [report] = reports;
    this.deps.logger.warn({ report: report?.id, kind: report?.kind, reason }, 'the portal refuses a report');
    await this.deps.database.sql('update outbox set refused_at = now(), refusal = $2 where id = $1', [
      report?.id,
      reason,
    ]);
  }

  /** What the portal stored of them; nothing, with its reason, when it refuses. Throws for what is worth a later try. */
  private async post(reports: readonly Report[]): Promise<{ stored: string[]; reason: string }> {
    const { client, key, tenant, portalUrl } = this.deps;
    const body = JSON.stringify({ reports });
    const bodySha256 = createHash('sha256').update(body).digest('base64url');
    const token = await signToken(key, { bodySha256 }, { issuer: tenant, audience: 'aviary-reports', ttlSeconds: 60 });
    const url = new URL('/api/v1/runtime/reports', portalUrl).href;
    const answer = await client.post(url, body, { authorization: `Stack ${token}` });
    if (REFUSALS.has(answer.status)) {
      return { stored: [], reason: `${answer.status} ${answer.body}`.slice(0, 500) };
    }
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`the portal answered ${answer.status}`);
    }
    const sent = new Set(reports.map(({ id }) => id));
    const { stored } = reportBatchResponseSchema.parse(JSON.parse(answer.body));
    return { stored: stored.filter((id) => sent.has(id)), reason: 'the portal did not store it' };
  }

  /** Forgets what the portal refused long ago; what it stored is removed at once. */
  async prune(now: Date): Promise<void> {
    await this.deps.database.sql('delete from outbox where refused_at < $1', [
      new Date(now.getTime() - REFUSED_KEPT_MS),
    ]);
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.timer) {
      clearTimeout(this.timer);
    }
    await this.sending;
  }
}
