import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** A Docker host with its agent, or a swarm with an agent on a manager. */
@Entity('engines')
@Check('engines_kind', `kind in ('docker', 'swarm')`)
export class EngineEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'engines_pk' })
  id: string;

  @Column('text')
  kind: 'docker' | 'swarm';

  /** What may be promised to tenants: memory in MiB, CPU in cores. */
  @Column('jsonb')
  capacity: { memoryMb: number; cpus: number };

  @Column('timestamptz')
  createdAt: Date;

  /** Last sign of life of its agent. */
  @Column('timestamptz')
  seenAt: Date;
}
