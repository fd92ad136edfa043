import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { StackReasonCode } from '#libs/contracts';
import { AccountEntity } from './account.entity.js';
import { EngineEntity } from './engine.entity.js';
import { ReleaseEntity } from './release.entity.js';

/** What a customer wants of their stack, and what its agent last saw of it. */
@Entity('tenants')
@Check('tenants_slug', `slug ~ '^u[a-z2-7]{6}$'`)
@Check('tenants_desired', `desired in ('running', 'stopped', 'hibernated', 'deleted')`)
@Check('tenants_observed', `observed in ('none', 'running', 'stopped', 'partial', 'failed')`)
@Check('tenants_counters', `generation >= 1 and epoch >= 1`)
@Index('tenants_account', ['accountId'])
@Index('tenants_engine', ['engineId'])
export class TenantEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'tenants_pk' })
  id: string;

  @Column('uuid')
  @ForeignKey(() => AccountEntity, { name: 'tenants_account_fk' })
  accountId: string;

  @Column('text')
  @ForeignKey(() => EngineEntity, { name: 'tenants_engine_fk' })
  engineId: string;

  @Index('tenants_slug_unique', { unique: true })
  @Column('text')
  slug: string;

  @Column('text')
  name: string;

  @Column('text')
  template: string;

  @Column('text')
  @ForeignKey(() => ReleaseEntity, { name: 'tenants_release_fk' })
  releaseId: string;

  @Column('jsonb')
  limits: { cpus: number; memoryMb: number; diskGb: number; pids: number; bots: number };

  @Column('text')
  desired: 'running' | 'stopped' | 'hibernated' | 'deleted';

  /** Raised whenever the containers are to be made anew. */
  @Column('integer')
  generation: number;

  /** Only a runtime of this generation may create its schema in an empty database; 0 once the stack was served. */
  @Column('integer')
  provisioningGeneration: number;

  /** Part of every volume's name; a restore makes a new one. */
  @Column('integer')
  epoch: number;

  /** The epoch a restore is filling, and those that restores took the place of, until the next good backup. */
  @Column('integer', { nullable: true })
  nextEpoch: number | null;

  @Column('integer', { array: true, default: [] })
  keptEpochs: number[];

  /**
   * Those of another major version of the database, which the stack was carried from; the last of them by the newest
   * such upgrade. Until the next good backup; no restore is undone to them, since the stack's server cannot open them.
   */
  @Column('integer', { array: true, default: [] })
  carriedEpochs: number[];

  /** Whose data it was made of; null for one that began empty. */
  @Column('jsonb', { nullable: true })
  clonedFrom: { tenant: string; slug: string; takenAt: string } | null;

  /** Since when nothing of it may trade, until somebody allows it; null where it may. */
  @Column('timestamptz', { nullable: true })
  tradingHeldSince: Date | null;

  /** SPKI DER in base64: verifies the stack's reports. Null until its secrets were made. */
  @Column('text', { nullable: true })
  publicKey: string | null;

  @Column('text')
  observed: 'none' | 'running' | 'stopped' | 'partial' | 'failed';

  @Column('timestamptz')
  observedSince: Date;

  @Column('timestamptz', { nullable: true })
  checkedAt: Date | null;

  @Column('text', { nullable: true })
  reason: string | null;

  /** The same by code, for pages in other languages; null where `reason` is. */
  @Column('text', { nullable: true })
  reasonCode: StackReasonCode | null;

  @Column('jsonb', { nullable: true })
  reasonParams: Record<string, string | number> | null;

  @Column('timestamptz')
  createdAt: Date;
}
