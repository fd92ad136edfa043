import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { OutboxMail } from '#libs/contracts';

/** A mail to be sent, inserted in the transaction that causes it; `kept` where no SMTP server is set. */
@Entity('outbox_mails')
@Index('ix_outbox_mails_created_at', ['createdAt'])
@Check('ck_outbox_mails_state', `state in ('queued', 'sent', 'failed', 'kept')`)
export class OutboxMailEntity {
  @PrimaryColumn('uuid')
  id: string;

  @Column('text')
  recipient: string;

  @Column('text')
  subject: string;

  @Column('text')
  text: string;

  @Column('text')
  html: string;

  @Column('text')
  state: OutboxMail['state'];

  @Column('integer')
  attempts: number;

  @Column('text', { nullable: true })
  lastError: string | null;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  sentAt: Date | null;
}
