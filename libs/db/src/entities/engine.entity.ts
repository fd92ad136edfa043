import type { EngineCapacity, EngineFigures } from '#libs/contracts';
import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';

/** A Docker host with its agent, or a swarm with an agent on a manager. */
@Entity('engines')
@Check('engines_kind', `kind in ('docker', 'swarm')`)
export class EngineEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'engines_pk' })
  id: string;

  @Column('text')
  kind: 'docker' | 'swarm';

  /** What it has and how much of that may be promised, written by its agent. */
  @Column('jsonb')
  capacity: EngineCapacity;

  @Column('timestamptz')
  createdAt: Date;

  /** Last sign of life of its agent. */
  @Column('timestamptz')
  seenAt: Date;

  /** What its agent said of itself last; null before it said anything. */
  @Column('jsonb', { nullable: true })
  figures: EngineFigures | null;
}

/** The one agent that may act on an engine now; the others stand by until it has run out. */
@Entity('engine_leases')
export class EngineLeaseEntity {
  @PrimaryColumn('text')
  @ForeignKey(() => EngineEntity, { onDelete: 'CASCADE' })
  engineId: string;

  /** One life of one process. */
  @Column('text')
  owner: string;

  /** Grows with each owner: what one proved is void once the next has it. */
  @Column('integer')
  fencing: number;

  @Column('timestamptz')
  takenAt: Date;

  @Column('timestamptz')
  expiresAt: Date;
}

/** An agent that waits until the one that works on its engine is gone. Rows of those that died are left until another's is written. */
@Entity('engine_stand_bys')
export class EngineStandByEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'engine_stand_bys_pk' })
  @ForeignKey(() => EngineEntity, { onDelete: 'CASCADE', name: 'engine_stand_bys_engine_fk' })
  engineId: string;

  /** One life of one process. */
  @PrimaryColumn('text', { primaryKeyConstraintName: 'engine_stand_bys_pk' })
  owner: string;

  @Column('timestamptz')
  since: Date;

  @Column('timestamptz')
  seenAt: Date;
}
