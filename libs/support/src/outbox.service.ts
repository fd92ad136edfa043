import { appendAudit } from '#libs/audit';
import { DomainError, type Actor, type OutboxMail } from '#libs/contracts';
import { newId, OutboxMailEntity, tx, type Database, type Tx } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { safeRecipient, safeSubject } from './notify/address.js';
import type { RenderedMail } from './notify/layout.js';

export interface OutboxDeps {
  database: Database;
  queue: Pick<Queue, 'enqueue'>;
  now: () => Date;
}

export interface OutboxQuery {
  /** The id after which the page begins, as the last page gave it. */
  cursor?: string | undefined;
  limit?: number | undefined;
  state?: OutboxMail['state'] | undefined;
}

function requireOperator(actor: Actor): void {
  if (actor.kind === 'subscriber') {
    throw new DomainError('FORBIDDEN');
  }
}

export function outboxMailView(row: OutboxMailEntity): OutboxMail {
  return {
    id: row.id,
    to: row.recipient,
    subject: row.subject,
    text: row.text,
    state: row.state,
    attempts: row.attempts,
    lastError: row.lastError,
    createdAt: row.createdAt.toISOString(),
    sentAt: row.sentAt?.toISOString() ?? null,
  };
}

/** Every mail the platform writes: a row in the transaction that causes it, sent by a job once that commits. */
export class OutboxService {
  constructor(private readonly deps: OutboxDeps) {}

  async put(inTx: Tx, to: string, mail: RenderedMail): Promise<string> {
    const id = newId();
    await inTx.insert(OutboxMailEntity, {
      id,
      recipient: safeRecipient(to),
      subject: safeSubject(mail.subject),
      text: mail.text,
      html: mail.html,
      state: 'queued',
      attempts: 0,
      lastError: null,
      createdAt: this.deps.now(),
      sentAt: null,
    });
    await this.deps.queue.enqueue(inTx, 'mail.send', { mailId: id }, { singletonKey: id });
    return id;
  }

  /** Newest first; operators only, since mails hold links that sign people up. */
  async list(actor: Actor, query: OutboxQuery = {}): Promise<{ items: OutboxMail[]; next: string | null }> {
    requireOperator(actor);
    const limit = Math.min(Math.max(query.limit ?? 50, 1), 200);
    const find = this.deps.database
      .getRepository(OutboxMailEntity)
      .createQueryBuilder('mail')
      .orderBy('mail.id', 'DESC')
      .take(limit + 1);
    if (query.cursor) {
      find.andWhere('mail.id < :cursor', { cursor: query.cursor });
    }
    if (query.state) {
      find.andWhere('mail.state = :state', { state: query.state });
    }
    const rows = await find.getMany();
    const items = rows.slice(0, limit).map(outboxMailView);
    return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  async get(actor: Actor, id: string): Promise<OutboxMail> {
    requireOperator(actor);
    const row = await this.deps.database.getRepository(OutboxMailEntity).findOneBy({ id });
    if (!row) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such mail.' });
    }
    return outboxMailView(row);
  }

  /** Queues a mail again, whatever became of it, except while it is already waiting (WRONG_STATE). */
  async resend(actor: Actor, id: string): Promise<OutboxMail> {
    requireOperator(actor);
    return tx(this.deps.database, async (inTx) => {
      const row = await inTx
        .getRepository(OutboxMailEntity)
        .findOne({ where: { id }, lock: { mode: 'pessimistic_write' } });
      if (!row) {
        throw new DomainError('NOT_FOUND', { message: 'There is no such mail.' });
      }
      if (row.state === 'queued') {
        throw new DomainError('WRONG_STATE', { message: 'This mail is waiting to be sent already.' });
      }
      const before = row.state;
      const change = { state: 'queued' as const, attempts: 0, lastError: null, sentAt: null };
      await inTx.update(OutboxMailEntity, { id, state: before }, change);
      await this.deps.queue.enqueue(inTx, 'mail.send', { mailId: id }, { singletonKey: id });
      await appendAudit(inTx, {
        actor,
        action: 'mail.resend',
        target: { kind: 'mail', id },
        before: { state: before },
        after: { state: 'queued' },
      });
      return outboxMailView(Object.assign(row, change));
    });
  }
}
