import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { BackupReason, BackupState, ErrorCode } from '#libs/contracts';
import { TenantEntity } from './tenant.entity.js';

/** Where a stack's backups lie, and what opens them: with the password goes the data. */
@Entity('repositories')
export class RepositoryEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'repositories_pk' })
  @ForeignKey(() => TenantEntity, { name: 'repositories_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  /** Its password, sealed under the stack's data key with the context `repository/<tenant id>`. */
  @Column('bytea')
  sealed: Buffer;

  @Column('timestamptz')
  createdAt: Date;
}

/** A file of a backup, each a snapshot of its own in the repository. */
export interface BackupPart {
  name: string;
  snapshotId: string;
  bytes: number;
  addedBytes: number;
  /** SHA-256 of the stream, in hex. */
  sha256: string;
}

@Entity('backups')
@Check('backups_state', `state in ('taking', 'dumped', 'stored', 'verified', 'failed')`)
@Check('backups_reason', `reason in ('schedule', 'manual', 'safety')`)
@Index('backups_tenant', ['tenantId', 'begunAt'])
@Index('backups_operation', ['operationId'], { unique: true })
export class BackupEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'backups_pk' })
  id: string;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'backups_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('uuid')
  operationId: string;

  @Column('text')
  state: BackupState;

  @Column('text')
  reason: BackupReason;

  @Column('text')
  releaseId: string;

  @Column('timestamptz')
  begunAt: Date;

  /** Of when its data is. */
  @Column('timestamptz', { nullable: true })
  takenAt: Date | null;

  /** Until when the stack was looked at and its data was still the same; null while nobody did. */
  @Column('timestamptz', { nullable: true })
  sameUntil: Date | null;

  @Column('timestamptz', { nullable: true })
  dumpedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  storedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  verifiedAt: Date | null;

  @Column('jsonb')
  parts: BackupPart[];

  /** What was counted under its snapshot, and written into the repository beside it; null before. */
  @Column('jsonb', { nullable: true })
  manifest: Record<string, unknown> | null;

  @Column('jsonb', { nullable: true })
  error: { code: ErrorCode; message: string } | null;

  /**
   * Neither read nor written: what is held is worked out (libs/tenants, `domain/retention.ts`). The version before still
   * does both, so the column goes with the next one.
   */
  @Column({ type: 'boolean', default: false, select: false, insert: false, update: false })
  held?: boolean;
}
