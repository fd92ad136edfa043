import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { AccountEntity } from './account.entity.js';

/** One sign-in on one browser; it slides with each refresh and ends by expiry, sign-out or reuse of a token. */
@Entity('sessions')
@Index('ix_sessions_account_id', ['accountId'])
@Index('ix_sessions_revoked_at', ['revokedAt'])
export class SessionEntity {
  @PrimaryColumn('uuid')
  id: string;

  @ForeignKey(() => AccountEntity, { onDelete: 'CASCADE' })
  @Column('uuid')
  accountId: string;

  @Column('text', { nullable: true })
  ip: string | null;

  @Column('text', { nullable: true })
  userAgent: string | null;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz')
  lastUsedAt: Date;

  @Column('timestamptz')
  expiresAt: Date;

  @Column('timestamptz', { nullable: true })
  revokedAt: Date | null;

  /** `logout`, `token_reused`, `account_state`, `recovered`. */
  @Column('text', { nullable: true })
  revokeReason: string | null;
}

/** Every refresh token a session ever had, hashed: a used one that comes back ends the session. */
@Entity('refresh_tokens')
@Unique('uq_refresh_tokens_token_hash', ['tokenHash'])
@Index('ix_refresh_tokens_session_id', ['sessionId'])
export class RefreshTokenEntity {
  @PrimaryColumn('uuid')
  id: string;

  @ForeignKey(() => SessionEntity, { onDelete: 'CASCADE' })
  @Column('uuid')
  sessionId: string;

  @Column('text')
  tokenHash: string;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  usedAt: Date | null;
}
