import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { TenantEntity } from './tenant.entity.js';

/** A key that secrets are sealed under: one of each stack and one of the platform, each wrapped under a master key. */
@Entity('data_keys')
@Check('data_keys_owner_tenant', `owner = coalesce(tenant_id::text, 'platform')`)
@Index('data_keys_master_key', ['masterKey', 'owner'])
export class DataKeyEntity {
  /** The stack's id, or `platform`: authenticated in what is wrapped. */
  @PrimaryColumn('text', { primaryKeyConstraintName: 'data_keys_pk' })
  owner: string;

  @Index('data_keys_tenant', { unique: true })
  @Column('uuid', { nullable: true })
  @ForeignKey(() => TenantEntity, { name: 'data_keys_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string | null;

  /** Id of the master key it is wrapped under. */
  @Column('text')
  masterKey: string;

  @Column('bytea')
  wrapped: Buffer;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz')
  wrappedAt: Date;
}

/** All data keys go from one master key to another; one such at a time. */
@Entity('key_rotations')
@Index('key_rotations_open', ['fromKey'], { unique: true, where: 'finished_at is null' })
export class KeyRotationEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'key_rotations_pk' })
  id: string;

  @Column('text')
  fromKey: string;

  @Column('text')
  toKey: string;

  @Column('text')
  askedBy: string;

  @Column('timestamptz')
  askedAt: Date;

  /** From here on new data keys are under the new one. */
  @Column('timestamptz', { nullable: true })
  begunAt: Date | null;

  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;
}

/** An agent and the master keys it was given, by their ids. */
@Entity('key_holders')
export class KeyHolderEntity {
  /** One life of one process. */
  @PrimaryColumn('text', { primaryKeyConstraintName: 'key_holders_pk' })
  owner: string;

  @Column('text')
  engineId: string;

  @Column('text')
  currentKey: string;

  @Column('text', { nullable: true })
  nextKey: string | null;

  @Column('timestamptz')
  seenAt: Date;
}
