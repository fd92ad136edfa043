import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { AccountEntity } from './account.entity.js';

/**
 * Failed sign-ins of one subject from one scope. The subject is an account's id, or the hash of a name nobody has,
 * so that both lock alike. The scope is `net:<network>` or `dev:<known device>`.
 */
@Entity('sign_in_guards')
@Unique('uq_sign_in_guards_subject_scope', ['subject', 'scope'])
@Index('ix_sign_in_guards_updated_at', ['updatedAt'])
@Check('ck_sign_in_guards_failures', 'failures >= 0')
export class SignInGuardEntity {
  @PrimaryColumn('uuid')
  id: string;

  @Column('text')
  subject: string;

  @Column('text')
  scope: string;

  @Column('integer')
  failures: number;

  @Column('timestamptz', { nullable: true })
  lockedUntil: Date | null;

  @Column('timestamptz')
  updatedAt: Date;
}

/** A browser that signed in to this account before, known by a cookie: a lock of its network does not lock it. */
@Entity('known_devices')
@Unique('uq_known_devices_token_hash', ['tokenHash'])
@Index('ix_known_devices_account_id', ['accountId'])
export class KnownDeviceEntity {
  @PrimaryColumn('uuid')
  id: string;

  @ForeignKey(() => AccountEntity, { onDelete: 'CASCADE' })
  @Column('uuid')
  accountId: string;

  @Column('text')
  tokenHash: string;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz')
  lastUsedAt: Date;
}
