import { Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import { TenantEntity } from './tenant.entity.js';

/** A token of a stack that sleeps, as its runtime gave it before it stopped. Awake, a stack has no row here. */
@Entity('sleep_tokens')
export class SleepTokenEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'sleep_tokens_pk' })
  @ForeignKey(() => TenantEntity, { name: 'sleep_tokens_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  /** base64url(sha256) of the token, which is random. */
  @PrimaryColumn('text', { primaryKeyConstraintName: 'sleep_tokens_pk' })
  digest: string;

  @Column('timestamptz')
  expiresAt: Date;
}
