import type { ErrorCode, PortalBackupReason, PortalBackupState } from '#libs/contracts';
import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { BackupPart } from './backup.entity.js';

/** A backup of this very database; one at a time is open (a partial unique index). */
@Entity('portal_backups')
@Check('portal_backups_state', `state in ('asked', 'taking', 'stored', 'verified', 'failed')`)
@Check('portal_backups_reason', `reason in ('schedule', 'manual')`)
@Check('portal_backups_singleton', 'singleton')
@Index('portal_backups_one_open', ['singleton'], {
  unique: true,
  where: `state in ('asked', 'taking', 'stored')`,
})
export class PortalBackupEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'portal_backups_pk' })
  id: string;

  /** Always true: what the index on open ones is over. */
  @Column('boolean', { default: true })
  singleton: boolean;

  @Column('text')
  state: PortalBackupState;

  @Column('text')
  reason: PortalBackupReason;

  @Column('text')
  askedBy: string;

  @Column('timestamptz')
  askedAt: Date;

  /** When an agent first took it up. */
  @Column('timestamptz', { nullable: true })
  begunAt: Date | null;

  /** Of when the data is. */
  @Column('timestamptz', { nullable: true })
  takenAt: Date | null;

  @Column('timestamptz', { nullable: true })
  storedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  verifiedAt: Date | null;

  /** How often an agent took it up: one that kills its agent is not tried for ever. */
  @Column('integer', { default: 0 })
  tries: number;

  @Column('jsonb')
  parts: BackupPart[];

  /** As it lies in the repository beside the data; null before. */
  @Column('jsonb', { nullable: true })
  manifest: Record<string, unknown> | null;

  @Column('jsonb', { nullable: true })
  error: { code: ErrorCode; message: string } | null;
}

/** This database was brought back from a backup on a new host; written into it before it was put in place. */
@Entity('recoveries')
export class RecoveryEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'recoveries_pk' })
  id: string;

  @Column('uuid')
  backupId: string;

  @Column('timestamptz')
  takenAt: Date;

  @Column('timestamptz')
  recoveredAt: Date;

  /** When it was decided for every stack what becomes of it; null while an agent is at it. */
  @Column('timestamptz', { nullable: true })
  orderedAt: Date | null;

  /** Of its fence in the portal's repository: of two databases the one with the higher works. 0: of before there were fences. */
  @Column('integer', { default: 0 })
  ordinal: number;
}

/** A recovery elsewhere that took the place of this database, as the portal's repository told it once. */
@Entity('fences')
export class FenceEntity {
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'fences_pk' })
  ordinal: number;

  @Column('uuid')
  recoveryId: string;

  /** When it was stored. */
  @Column('timestamptz')
  at: Date;

  @Column('timestamptz')
  seenAt: Date;
}

/** What was decided for a stack after a recovery; no row, or one without `decidedAt`, means nothing yet. */
@Entity('recovery_stacks')
export class RecoveryStackEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'recovery_stacks_pk' })
  @ForeignKey(() => RecoveryEntity, { name: 'recovery_stacks_recovery_fk', onDelete: 'CASCADE' })
  recoveryId: string;

  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'recovery_stacks_pk' })
  tenantId: string;

  @Column('text')
  slug: string;

  /** The backup that is put back, and by what; null where nothing is. */
  @Column('uuid', { nullable: true })
  backupId: string | null;

  @Column('uuid', { nullable: true })
  operationId: string | null;

  /** Of before, where its images are not on this host and it goes on with another. */
  @Column('text', { nullable: true })
  releaseBefore: string | null;

  /** Why nothing is put back, or why that could not be decided yet. */
  @Column('text', { nullable: true })
  why: string | null;

  /** Nothing is put back although there were backups and its data is not here. */
  @Column('boolean', { default: false })
  lost: boolean;

  /** When an agent last tried to decide and could not. */
  @Column('timestamptz', { nullable: true })
  triedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  decidedAt: Date | null;
}
