import type { Readable } from 'node:stream';
import { LessThan } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  OPEN_EXPORT_STATES,
  type Actor,
  type ExportAsked,
  type ExportView,
  type GetExport,
} from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import { ExportEntity, newId, tx, type Database, type TenantEntity, type Tx } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import { requireActor } from '../authorise.js';
import { requireVerified } from '../backup.repository.js';
import { exportFile } from '../domain/export-file.js';
import { downloadBusy, type ExportPlace } from '../domain/export-rules.js';
import type { AgentPort } from '../logs/agent-port.js';
import { requireNoPrune } from '../operation.start.js';
import { findStack, lockStack } from '../stack.change.js';
import { endDownloads } from './export.end.js';
import { exportView } from './export.repository.js';
import { brokenOff, EXPORT_TIMES, redeem, requireSlot, Sending, type ExportTimes } from './export.sending.js';

/** From the answer to the press that follows it by itself. */
const TICKET_MS = 120_000;
const KEPT_MS = 90 * 86_400_000;

export interface Archive {
  file: string;
  bytes: number;
  /** Whose it is. */
  accountId: string;
  /** Fails where it breaks off. */
  body: Readable;
  /** Fires where it is to end, whoever wants it; `body` is cut with it. */
  signal: AbortSignal;
  /** Who takes next to nothing for so long has left. */
  stalledMs: number;
}

interface ExportDeps {
  database: Database;
  agent: Pick<AgentPort, 'post'>;
  logger: Pick<Logger, 'warn'>;
  now: () => Date;
  at: ExportPlace;
  times?: Partial<ExportTimes> | undefined;
}

/**
 * Backups as archives that their owner opens without the platform. Asking and getting are two requests, so that a
 * browser gets the archive by itself, straight to its disk: whoever asked proves who they are, and what begins the
 * download is a ticket that is good once. The passphrase comes with the second one and is kept nowhere.
 */
export class ExportService {
  constructor(private readonly deps: ExportDeps) {}

  /**
   * Throws NOT_FOUND for a stack that is not the actor's, and FORBIDDEN for an operator: what a customer's bots did is
   * the customer's. On the host itself, where the command line runs, everything of it can be read anyway.
   */
  async requireOwn(actor: Actor, slug: string): Promise<void> {
    this.requireOwner(actor, await findStack(this.deps.database.manager, actor, slug));
  }

  /**
   * A ticket for the download of that backup. Throws as `requireOwn` does, NOT_FOUND and WRONG_STATE for a backup that
   * is none, TENANT_BUSY while another of the stack or of the account is sent or backups of it are removed, and
   * RATE_LIMITED while the host sends as many as it may.
   */
  async ask(actor: Actor, slug: string, backupId: string): Promise<ExportAsked> {
    const { accountId } = requireActor(actor);
    return tx(this.deps.database, async (db) => {
      const tenant = await lockStack(db, actor, slug, 'backup');
      this.requireOwner(actor, tenant);
      const { takenAt } = await requireVerified(db, tenant, backupId);
      await requireNoPrune(db, tenant);
      const now = this.deps.now();
      await this.makeWay(db, tenant, now);
      await requireSlot(db, accountId, this.deps.at, now);
      const ticket = randomToken();
      const row = Object.assign(new ExportEntity(), {
        id: newId(),
        tenantId: tenant.id,
        backupId,
        takenAt,
        accountId,
        ticketHash: hashToken(ticket),
        file: exportFile(slug, takenAt),
        state: 'asked',
        askedAt: now,
        aliveUntil: new Date(now.getTime() + TICKET_MS),
        endedAt: null,
        bytes: null,
        error: null,
      } satisfies ExportEntity);
      await db.insert(ExportEntity, row);
      await appendAudit(db, {
        actor,
        action: 'stack.export',
        target: { kind: 'stack', id: tenant.id },
        after: { slug, backup: backupId, takenAt: takenAt.toISOString() },
      });
      return { export: exportView(row, now), ticket };
    });
  }

  /**
   * Hands the archive to `take`, which resolves once it has all of it. Throws as `redeem` does, what the agent refuses it
   * with, and what broke it off: then what was taken is not all of it, and does not open to its end.
   */
  async send(
    { ticket, passphrase }: GetExport,
    signal: AbortSignal,
    take: (archive: Archive) => Promise<void>,
  ): Promise<void> {
    const row = await redeem(this.deps, ticket);
    const times = { ...EXPORT_TIMES, ...this.deps.times };
    const sending = new Sending(this.deps, row.id, times);
    const ended = AbortSignal.any([signal, sending.ended]);
    let bytes: number;
    let body: Readable | undefined;
    try {
      const answer = await this.deps.agent.post('/export', { export: row.id, passphrase }, ended);
      body = answer;
      bytes = Number(answer.headers['content-length']);
      const { file, accountId } = row;
      await take({ file, bytes, accountId, body, signal: ended, stalledMs: times.stalledMs });
    } catch (error) {
      const told = brokenOff(error, ended, Boolean(body?.errored));
      // Whoever did not take it to its end does not read on, and the host reads it for nobody.
      body?.destroy();
      await sending.over({ state: 'failed', error: { code: told.code, message: told.message } });
      throw told;
    }
    await sending.over({ state: 'sent', bytes });
  }

  /**
   * Ends that download, for its owner and for operators; gives what became of it, where it was over before too. Throws
   * NOT_FOUND for a stack that is not the actor's and for what is no download of it. Who sends it cuts it off at its
   * next beat.
   */
  async cancel(actor: Actor, slug: string, id: string): Promise<ExportView> {
    const who = requireActor(actor).kind === 'operator' ? 'an operator' : 'its owner';
    return tx(this.deps.database, async (db) => {
      const tenant = await findStack(db, actor, slug);
      const now = this.deps.now();
      const message = `It was stopped by ${who}. What came is not all of it.`;
      const ended = await endDownloads(db, tenant.id, { id, states: OPEN_EXPORT_STATES, message, now });
      const row = await db.findOneBy(ExportEntity, { id, tenantId: tenant.id });
      if (!row) {
        throw new DomainError('NOT_FOUND', { message: `There is no such download of ${slug}.` });
      }
      if (ended > 0) {
        await appendAudit(db, {
          actor,
          action: 'stack.export.cancel',
          target: { kind: 'stack', id: tenant.id },
          after: { slug, export: id, backup: row.backupId },
        });
      }
      return exportView(row, now);
    });
  }

  private requireOwner(actor: Actor, tenant: TenantEntity): void {
    const { kind, via, accountId } = requireActor(actor);
    if (kind === 'operator' && via !== 'cli' && tenant.accountId !== accountId) {
      throw new DomainError('FORBIDDEN', { message: 'Only its owner downloads the data of a stack.' });
    }
  }

  /** What was asked for and not begun gives way, as does what nobody sends any more. Throws TENANT_BUSY otherwise. */
  private async makeWay(db: Tx, { id: tenantId, slug }: TenantEntity, now: Date): Promise<void> {
    const sending = await db.findOneBy(ExportEntity, { tenantId, state: 'sending' });
    if (sending && sending.aliveUntil > now) {
      throw downloadBusy({ slug, since: sending.askedAt }, 'A stack’s backups are downloaded one at a time.');
    }
    if (sending) {
      const { endedAt, error } = exportView(sending, now);
      await db.query(`update exports set state = 'failed', ended_at = $2, error = $3 where id = $1`, [
        sending.id,
        endedAt,
        JSON.stringify(error),
      ]);
    }
    await db.delete(ExportEntity, { tenantId, state: 'asked' });
    await db.delete(ExportEntity, { tenantId, askedAt: LessThan(new Date(now.getTime() - KEPT_MS)) });
  }
}
