import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { AccountEntity } from './account.entity.js';

/** The Idempotency-Key of a sign-up, hashed: nobody is signed in yet, so it belongs to no account's requests. */
@Entity('sign_ups')
export class SignUpEntity {
  @PrimaryColumn('text')
  keyHash: string;

  /** Of everything but the password, whose only trace is the account's bcrypt hash. */
  @Column('text')
  requestHash: string;

  @Index('ix_sign_ups_account_id')
  @ForeignKey(() => AccountEntity, { onDelete: 'CASCADE' })
  @Column('uuid')
  accountId: string;

  @Column('timestamptz')
  createdAt: Date;
}
