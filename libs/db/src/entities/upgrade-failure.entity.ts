import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import { TenantEntity } from './tenant.entity.js';

/** An upgrade that failed on a stack: the same is not tried there again before the release is said to be mended. */
@Entity('upgrade_failures')
export class UpgradeFailureEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'upgrade_failures_pk' })
  @ForeignKey(() => TenantEntity, { name: 'upgrade_failures_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'upgrade_failures_pk' })
  fromRelease: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'upgrade_failures_pk' })
  toRelease: string;

  @Column('uuid')
  operationId: string;

  @Column('text')
  message: string;

  @Column('timestamptz')
  at: Date;
}
