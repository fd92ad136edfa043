import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ErrorCode, OperationKind } from '#libs/contracts';

/**
 * One durable piece of work on a stack. It outlives the stack, so it copies what a page shows of it. The partial
 * unique index is the rule "one exclusive operation per stack at a time".
 */
@Entity('operations')
@Check(
  'operations_kind',
  `kind in ('provision', 'start', 'stop', 'restart', 'destroy', 'suspend', 'resume', 'hibernate', 'wake', 'resize', 'rotate_secrets', 'repair', 'backup', 'restore', 'upgrade', 'rollback', 'prune', 'undo_restore', 'clone')`,
)
@Check('operations_state', `state in ('queued', 'running', 'done', 'failed', 'cancelled')`)
@Check('operations_desired_before', `desired_before in ('running', 'stopped', 'hibernated')`)
@Index('operations_one_open', ['tenantId'], { unique: true, where: `exclusive and state in ('queued', 'running')` })
@Index('operations_one_shared', ['tenantId'], {
  unique: true,
  where: `not exclusive and state in ('queued', 'running')`,
})
@Index('operations_account', ['accountId', 'createdAt'])
@Index('operations_open', ['engineId', 'state'], { where: `state in ('queued', 'running')` })
@Index('operations_kind_finished', ['kind', 'finishedAt'])
export class OperationEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'operations_pk' })
  id: string;

  @Column('uuid')
  tenantId: string;

  @Column('text')
  slug: string;

  @Column('uuid')
  accountId: string;

  @Column('text')
  engineId: string;

  @Column('text')
  kind: OperationKind;

  @Column('text')
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

  @Column('boolean')
  exclusive: boolean;

  @Column('text')
  requestedBy: string;

  /** What it is about besides its stack, as its kind has it: the backup a restore is of. */
  @Column('jsonb', { nullable: true })
  input: Record<string, unknown> | null;

  @Column('timestamptz')
  createdAt: Date;

  @Column('timestamptz', { nullable: true })
  startedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;

  @Column('timestamptz')
  deadlineAt: Date;

  @Column('timestamptz', { nullable: true })
  cancelRequestedAt: Date | null;

  /** What was wanted of the stack before this was asked for; null where there is no way back (a destroy). */
  @Column('text', { nullable: true })
  desiredBefore: 'running' | 'stopped' | 'hibernated' | null;

  /** Not to be begun again sooner: something it needs was away. */
  @Column('timestamptz', { nullable: true })
  notBefore: Date | null;

  @Column('text', { nullable: true })
  leaseOwner: string | null;

  @Column('timestamptz', { nullable: true })
  leaseExpiresAt: Date | null;

  /** Raised with every change of holder; each write of a step is conditional on it. */
  @Column('integer')
  fencing: number;

  @Column('integer')
  attempts: number;

  @Column('jsonb', { nullable: true })
  error: { code: ErrorCode; message: string; errorId: string; details: Record<string, unknown> } | null;
}

/** A phase (action null), written when the operation is made, or an action of it, written as it runs. */
@Entity('operation_steps')
@Check('operation_steps_state', `state in ('pending', 'running', 'done', 'failed', 'skipped')`)
export class OperationStepEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'operation_steps_pk' })
  @ForeignKey(() => OperationEntity, { name: 'operation_steps_operation_fk', onDelete: 'CASCADE' })
  operationId: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'operation_steps_pk' })
  seq: number;

  @Column('text')
  phase: string;

  @Column('text', { nullable: true })
  action: string | null;

  @Column('text', { nullable: true })
  target: string | null;

  @Column('text')
  state: 'pending' | 'running' | 'done' | 'failed' | 'skipped';

  @Column('timestamptz', { nullable: true })
  startedAt: Date | null;

  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;

  @Column('text', { nullable: true })
  detail: string | null;
}
