import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import type { EngineCapacity } from '#libs/contracts';

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
}
