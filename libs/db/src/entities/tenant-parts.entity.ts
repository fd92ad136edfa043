import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { TenantEntity } from './tenant.entity.js';

/** A reason for which a stack must not run, whatever its owner wants. Released = the row is gone. */
@Entity('holds')
@Check('holds_reason', `reason in ('billing', 'operator', 'disclaimer', 'exchange_key', 'breaker', 'verify_only')`)
export class HoldEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'holds_pk' })
  @ForeignKey(() => TenantEntity, { name: 'holds_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'holds_pk' })
  reason: 'billing' | 'operator' | 'disclaimer' | 'exchange_key' | 'breaker' | 'verify_only';

  @Column('text', { nullable: true })
  note: string | null;

  @Column('timestamptz')
  createdAt: Date;
}

/** The tenant's /26 of the address pool, by its number. */
@Entity('tenant_subnets')
@Index('tenant_subnets_tenant', ['tenantId'], { unique: true })
export class TenantSubnetEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'tenant_subnets_pk' })
  engineId: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'tenant_subnets_pk' })
  subnet: number;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'tenant_subnets_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;
}

/** An address on an edge bridge, by the bridge's number and the slot in it. */
@Entity('edge_slots')
@Index('edge_slots_service', ['tenantId', 'service'], { unique: true })
export class EdgeSlotEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'edge_slots_pk' })
  engineId: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'edge_slots_pk' })
  edge: number;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'edge_slots_pk' })
  slot: number;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'edge_slots_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('text')
  service: string;
}

/** Which host name leads to which service; unique over the whole platform, since a second file with a host wins. */
@Entity('hostnames')
@Index('hostnames_tenant', ['tenantId'])
export class HostnameEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'hostnames_pk' })
  host: string;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'hostnames_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('text')
  kind: 'dashboard' | 'api';
}

/** A generated secret, sealed under the stack's data key with the context `tenant/<id>/<name>`. */
@Entity('tenant_secrets')
export class TenantSecretEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'tenant_secrets_pk' })
  @ForeignKey(() => TenantEntity, { name: 'tenant_secrets_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'tenant_secrets_pk' })
  name: string;

  @Column('bytea')
  sealed: Buffer;

  /**
   * What it was before its rotation, until the new one is proven to open what the old one did; the same as `sealed` while
   * nobody knows what the data that was put back opens to.
   */
  @Column('bytea', { nullable: true })
  previous: Buffer | null;

  @Column('timestamptz')
  createdAt: Date;
}

/** The newest heartbeat of a stack's runtime; older ones are not kept. */
@Entity('heartbeats')
export class HeartbeatEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'heartbeats_pk' })
  @ForeignKey(() => TenantEntity, { name: 'heartbeats_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('timestamptz')
  at: Date;

  @Column('integer')
  bots: number;

  @Column('integer')
  runningBots: number;

  @Column('integer')
  openOrders: number;

  @Column('text')
  equity: string;
}

/** An event a runtime reported; its own id makes a repeated delivery harmless. */
@Entity('runtime_events')
@Index('runtime_events_tenant', ['tenantId', 'at'])
export class RuntimeEventEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'runtime_events_pk' })
  id: string;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'runtime_events_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('timestamptz')
  at: Date;

  @Column('text')
  event: string;

  @Column('uuid', { nullable: true })
  bot: string | null;

  @Column('text')
  text: string;
}

/** A one-time code that turns a portal session into a sign-on at one tenant host. Stored hashed, valid 60 s. */
@Entity('sign_on_codes')
@Index('sign_on_codes_expiry', ['expiresAt'])
export class SignOnCodeEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'sign_on_codes_pk' })
  codeHash: string;

  @Column('uuid')
  @ForeignKey(() => TenantEntity, { name: 'sign_on_codes_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @Column('uuid')
  accountId: string;

  /** The portal session it came from: ending that one ends the sign-on. */
  @Column('uuid')
  sessionId: string;

  @Column('text')
  host: string;

  @Column('text')
  state: string;

  @Column('text')
  next: string;

  @Column('timestamptz')
  expiresAt: Date;

  @Column('timestamptz', { nullable: true })
  usedAt: Date | null;
}
