import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import type { StackWarningCode } from '#libs/contracts';
import { TenantEntity } from './tenant.entity.js';

/** What a stack that goes on must be told of, one row for each kind. */
@Entity('stack_warnings')
@Check('stack_warnings_kind', `kind in ('disk', 'memory', 'ended')`)
@Check('stack_warnings_level', `level in ('warn', 'bad')`)
export class StackWarningEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'stack_warnings_pk' })
  @ForeignKey(() => TenantEntity, { name: 'stack_warnings_tenant_fk', onDelete: 'CASCADE' })
  tenantId: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'stack_warnings_pk' })
  kind: 'disk' | 'memory' | 'ended';

  @Column('text')
  code: StackWarningCode;

  @Column('text')
  level: 'warn' | 'bad';

  @Column('text')
  message: string;

  @Column('jsonb')
  params: Record<string, string | number>;

  /** Since when the code is this one. */
  @Column('timestamptz')
  since: Date;

  @Column('timestamptz')
  seenAt: Date;

  /** When it was better again; null as long as it is so. The row is kept for what its owner was told. */
  @Column('timestamptz', { nullable: true })
  overAt: Date | null;

  /** The worst level its owner had a mail of, and when. */
  @Column('text', { nullable: true })
  toldLevel: 'warn' | 'bad' | null;

  @Column('timestamptz', { nullable: true })
  toldAt: Date | null;

  /** Written before the runtime is asked to hold its bots, so that a hold nobody heard the answer of is ended as well. */
  @Column('timestamptz', { nullable: true })
  holdAskedAt: Date | null;

  /** When the runtime first answered that it does. */
  @Column('timestamptz', { nullable: true })
  heldAt: Date | null;
}
