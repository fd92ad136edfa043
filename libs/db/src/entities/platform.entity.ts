import { Check, Column, Entity, PrimaryColumn, Unique } from 'typeorm';

/** One row: whose database this is. A process of another platform refuses to start on it. */
@Entity('platforms')
@Unique('uq_platforms_singleton', ['singleton'])
@Check('ck_platforms_singleton', 'singleton')
export class PlatformEntity {
  @PrimaryColumn('uuid')
  id: string;

  @Column('boolean')
  singleton: boolean;

  @Column('timestamptz')
  createdAt: Date;
}
