import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** Something operators must know, once per thing it is about: raised again it is the same row. */
@Entity('alarms')
@Check('alarms_severity', `severity in ('warning', 'critical')`)
export class AlarmEntity {
  /** What it is about, such as `schedule/audit-seal`. */
  @PrimaryColumn('text')
  key: string;

  @Column('text')
  code: string;

  @Column('text')
  severity: 'warning' | 'critical';

  @Column('text')
  message: string;

  @Column('jsonb')
  params: Record<string, unknown>;

  @Column('timestamptz')
  since: Date;

  /** When it was last found to be so. */
  @Column('timestamptz')
  seenAt: Date;

  @Column('timestamptz', { nullable: true })
  endedAt: Date | null;
}
