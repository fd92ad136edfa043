import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ServiceUse } from '#libs/contracts';
import { EngineEntity } from './engine.entity.js';
import { TenantEntity } from './tenant.entity.js';

/**
 * What a stack used in one span: a minute, five minutes or an hour from `at` on. bigint columns are text here, as the
 * driver gives them; they are written and read by statements only.
 */
@Entity('tenant_usage')
@Check('tenant_usage_step', `step_seconds in (60, 300, 3600)`)
@Index('tenant_usage_age', ['stepSeconds', 'at'])
export class TenantUsageEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'tenant_usage_pk' })
  @ForeignKey(() => TenantEntity, { name: 'tenant_usage_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'tenant_usage_pk' })
  stepSeconds: number;

  @PrimaryColumn('timestamptz', { primaryKeyConstraintName: 'tenant_usage_pk' })
  at: Date;

  /** Cores, on average. Null where a part of the stack was seen for the first time. */
  @Column('double precision', { nullable: true })
  cpu: number | null;

  @Column('bigint')
  memoryBytes: string;

  @Column('bigint')
  memoryMaxBytes: string;

  /** Volumes and what containers wrote beside them; measured less often than the rest. */
  @Column('bigint', { nullable: true })
  diskBytes: string | null;

  @Column('bigint', { nullable: true })
  receivedBytes: string | null;

  @Column('bigint', { nullable: true })
  sentBytes: string | null;

  /** By service; of the finest samples only. */
  @Column('jsonb', { nullable: true })
  services: ServiceUse[] | null;
}

/** The same of a host. */
@Entity('engine_usage')
@Check('engine_usage_step', `step_seconds in (60, 300, 3600)`)
@Index('engine_usage_age', ['stepSeconds', 'at'])
export class EngineUsageEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'engine_usage_pk' })
  @ForeignKey(() => EngineEntity, { name: 'engine_usage_engine_fk', onDelete: 'CASCADE' })
  engineId: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'engine_usage_pk' })
  stepSeconds: number;

  @PrimaryColumn('timestamptz', { primaryKeyConstraintName: 'engine_usage_pk' })
  at: Date;

  @Column('double precision', { nullable: true })
  cpu: number | null;

  @Column('integer')
  cores: number;

  @Column('bigint')
  memoryBytes: string;

  @Column('bigint')
  memoryMaxBytes: string;

  @Column('bigint')
  memoryTotalBytes: string;

  @Column('bigint')
  diskBytes: string;

  @Column('bigint')
  diskTotalBytes: string;

  @Column('bigint', { nullable: true })
  receivedBytes: string | null;

  @Column('bigint', { nullable: true })
  sentBytes: string | null;
}
