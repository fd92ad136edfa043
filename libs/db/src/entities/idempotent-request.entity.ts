import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { AccountEntity } from './account.entity.js';

/**
 * A request that carried an Idempotency-Key, with the answer it got. `operationId` is written in the transaction that
 * makes the thing, so a row without it and without an answer has made nothing, however its process ended.
 */
@Entity('requests')
@Check('requests_key', `length(key) between 1 and 200`)
@Check('requests_answer', `(status is null) = (answered_at is null)`)
@Index('requests_expiry', ['expiresAt'])
export class IdempotentRequestEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'requests_pk' })
  @ForeignKey(() => AccountEntity, { name: 'requests_account_fk', onDelete: 'CASCADE' })
  accountId: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'requests_pk' })
  key: string;

  /** Who works on it; a later taker of the same key has another. */
  @Column('uuid')
  claimId: string;

  /** base64url(sha256) over method, path and body. */
  @Column('text')
  requestHash: string;

  @Column('uuid', { nullable: true })
  operationId: string | null;

  @Column('integer', { nullable: true })
  status: number | null;

  @Column('jsonb', { nullable: true })
  body: unknown;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  answeredAt: Date | null;

  @Column('timestamptz')
  expiresAt: Date;
}
