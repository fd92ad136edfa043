import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ErrorCode, ExportState } from '#libs/contracts';
import { TenantEntity } from './tenant.entity.js';

/** A download of a backup as an encrypted archive. Neither it nor its passphrase is kept anywhere. */
@Entity('exports')
@Check('exports_state', `state in ('asked', 'sending', 'sent', 'failed')`)
@Index('exports_open', ['tenantId'], { unique: true, where: `state in ('asked', 'sending')` })
@Index('exports_ticket', ['ticketHash'], { unique: true })
@Index('exports_tenant', ['tenantId', 'askedAt'])
export class ExportEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'exports_pk' })
  id: string;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'exports_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('uuid')
  backupId: string;

  /** Of when the backup's data is; the backup may be gone before this row is. */
  @Column('timestamptz')
  takenAt: Date;

  /** Who asked: the download counts among their open streams. */
  @Column('uuid')
  accountId: string;

  /** What is stored of the ticket that begins it, once. */
  @Column('text')
  ticketHash: string;

  @Column('text')
  file: string;

  @Column('text')
  state: ExportState;

  @Column('timestamptz')
  askedAt: Date;

  /** Until then it counts as under way; moved on while it is sent, so one whose sender was killed is over soon. */
  @Column('timestamptz')
  aliveUntil: Date;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;

  @Column('double precision', { nullable: true })
  bytes: number | null;

  @Column('jsonb', { nullable: true })
  error: { code: ErrorCode; message: string } | null;
}
