import type { OutboxMail } from '#libs/contracts';
import { OutboxMailEntity, type Database } from '#libs/db';
import { PermanentError } from '#libs/jobs';
import { MailSendError, type MailSender } from './notify/mail-sender.js';

export interface MailDeliveryDeps {
  database: Database;
  /** Null where no SMTP server is set: mails are then kept for operators to read. */
  sender: MailSender | null;
  now: () => Date;
}

/** The handler of `mail.send`. A mail that is not `queued` any more is left alone, so a repeated job sends nothing. */
export class MailDelivery {
  constructor(private readonly deps: MailDeliveryDeps) {}

  async deliver(mailId: string, attempt: { last: boolean }): Promise<void> {
    const mails = this.deps.database.getRepository(OutboxMailEntity);
    const mail = await mails.findOneBy({ id: mailId });
    if (!mail) {
      throw new PermanentError('The mail to send does not exist');
    }
    if (mail.state !== 'queued') {
      return;
    }
    if (!this.deps.sender) {
      await this.settle(mail, 'kept', { sentAt: null });
      return;
    }
    try {
      await this.deps.sender.send(mail);
    } catch (error) {
      const permanent = error instanceof MailSendError && error.permanent;
      const lastError = error instanceof Error ? error.message : 'unknown';
      const state = permanent || attempt.last ? 'failed' : 'queued';
      await this.settle(mail, state, { lastError, attempts: mail.attempts + 1 });
      if (permanent) {
        throw new PermanentError(lastError, { cause: error });
      }
      throw error;
    }
    await this.settle(mail, 'sent', { sentAt: this.deps.now(), attempts: mail.attempts + 1, lastError: null });
  }

  private async settle(
    mail: OutboxMailEntity,
    state: OutboxMail['state'],
    change: Partial<Pick<OutboxMailEntity, 'sentAt' | 'lastError' | 'attempts'>>,
  ): Promise<void> {
    await this.deps.database
      .getRepository(OutboxMailEntity)
      .update({ id: mail.id, state: 'queued' }, { ...change, state });
  }
}
