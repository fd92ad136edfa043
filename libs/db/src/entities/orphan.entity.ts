import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** An object of ours on an engine that no stack wants. Its row goes with it. */
@Entity('orphans')
@Check('orphans_kind', `kind in ('container', 'network', 'volume')`)
@Check('orphans_why', `why in ('no_stack', 'not_wanted')`)
export class OrphanEntity {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'orphans_pk' })
  engineId: string;

  @PrimaryColumn('text', { primaryKeyConstraintName: 'orphans_pk' })
  kind: 'container' | 'network' | 'volume';

  @PrimaryColumn('text', { primaryKeyConstraintName: 'orphans_pk' })
  name: string;

  /** What its label says, whether or not there is such a stack. */
  @Column('uuid')
  tenantId: string;

  /** `no_stack`: its stack is gone, so it is removed in time; `not_wanted`: its stack is there and has no use for it. */
  @Column('text')
  why: 'no_stack' | 'not_wanted';

  @Column('timestamptz')
  firstSeenAt: Date;

  @Column('timestamptz')
  lastSeenAt: Date;

  /** From then on it is removed; null for what is kept. */
  @Column('timestamptz', { nullable: true })
  removeAt: Date | null;
}
