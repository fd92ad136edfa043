import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { AccountEntity } from './account.entity.js';

/** What a mailed link carries, hashed; good once and until `expiresAt`. */
@Entity('mail_tokens')
@Unique('uq_mail_tokens_token_hash', ['tokenHash'])
@Index('ix_mail_tokens_account_id', ['accountId'])
@Check('ck_mail_tokens_kind', `kind in ('verify_email')`)
export class MailTokenEntity {
  @PrimaryColumn('uuid')
  id: string;

  @ForeignKey(() => AccountEntity, { onDelete: 'CASCADE' })
  @Column('uuid')
  accountId: string;

  @Column('text')
  kind: 'verify_email';

  @Column('text')
  tokenHash: string;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz')
  expiresAt: Date;

  @Column('timestamptz', { nullable: true })
  usedAt: Date | null;
}
