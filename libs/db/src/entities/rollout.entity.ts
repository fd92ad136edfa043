import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type {
  RolloutCause,
  RolloutSelection,
  RolloutSettings,
  RolloutSkip,
  RolloutStackState,
  RolloutState,
} from '#libs/contracts';
import { ReleaseEntity } from './release.entity.js';

const OVER = `'aborted', 'done'`;

/** Many stacks on their way to one release, ring by ring; one at a time for each template (a partial unique index). */
@Entity('rollouts')
@Check('rollouts_state', `state in ('planned', 'running', 'paused', 'halted', 'aborted', 'done')`)
@Index('rollouts_one_open', ['template'], { unique: true, where: `state not in (${OVER})` })
export class RolloutEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'rollouts_pk' })
  id: string;

  @Column('text')
  template: string;

  @Column('text')
  @ForeignKey(() => ReleaseEntity, { name: 'rollouts_release_fk' })
  releaseId: string;

  @Column('jsonb')
  selection: RolloutSelection;

  @Column('jsonb')
  settings: RolloutSettings;

  @Column('text')
  state: RolloutState;

  @Column('text')
  createdBy: string;

  @Column('timestamptz')
  createdAt: Date;

  /** What failed until then counts no more. */
  @Column('timestamptz', { nullable: true })
  acknowledgedAt: Date | null;
}

/** How a rollout came to be in a state: who or what moved it, when and why. */
@Entity('rollout_moves')
export class RolloutMoveEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'rollout_moves_pk' })
  @ForeignKey(() => RolloutEntity, { name: 'rollout_moves_rollout_fk', onDelete: 'CASCADE' })
  rolloutId: string;

  @PrimaryColumn('integer', { primaryKeyConstraintName: 'rollout_moves_pk' })
  seq: number;

  @Column('text', { nullable: true })
  fromState: RolloutState | null;

  @Column('text')
  toState: RolloutState;

  @Column('text')
  cause: RolloutCause;

  @Column('text', { nullable: true })
  reason: string | null;

  @Column('text')
  by: string;

  @Column('timestamptz')
  at: Date;
}

/** A stack of a rollout. It outlives the stack, so it copies what a report shows of it. */
@Entity('rollout_stacks')
@Check(
  'rollout_stacks_state',
  `state in ('waiting', 'upgrading', 'rolling_back', 'done', 'rolled_back', 'failed', 'skipped')`,
)
@Index('rollout_stacks_place', ['rolloutId', 'place'], { unique: true })
export class RolloutStackEntity {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'rollout_stacks_pk' })
  @ForeignKey(() => RolloutEntity, { name: 'rollout_stacks_rollout_fk', onDelete: 'CASCADE' })
  rolloutId: string;

  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'rollout_stacks_pk' })
  tenantId: string;

  @Column('text')
  slug: string;

  @Column('text')
  engineId: string;

  @Column('text')
  fromRelease: string;

  /** Null for what was skipped before rings were made. */
  @Column('integer', { nullable: true })
  ring: number | null;

  /** In the order in which they go. */
  @Column('integer')
  place: number;

  @Column('text')
  state: RolloutStackState;

  @Column('uuid', { nullable: true })
  operationId: string | null;

  @Column('uuid', { nullable: true })
  rollbackId: string | null;

  @Column('timestamptz', { nullable: true })
  orderedAt: Date | null;

  /** When its upgrade ended; a rollback ends later. */
  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;

  @Column('integer', { nullable: true })
  outageMs: number | null;

  @Column('text', { nullable: true })
  why: RolloutSkip | null;

  @Column('text', { nullable: true })
  reason: string | null;

  /** What is wrong with its bots or books since its upgrade, in a sentence; null while nothing is known to be. */
  @Column('text', { nullable: true })
  botsWrong: string | null;

  /** Since when it is so, or is no more. */
  @Column('timestamptz', { nullable: true })
  botsSince: Date | null;
}
