import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** Something operators must know, once per thing it is about: raised again it is the same row. */
@Entity('alarms')
@Check('alarms_severity', `severity in ('warning', 'critical')`)
@Check('alarms_acknowledged', `(acknowledged_at is null) = (acknowledged_by is null)`)
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

  /** An operator knows of it; gone when it is raised anew or gets worse. */
  @Column('timestamptz', { nullable: true })
  acknowledgedAt: Date | null;

  @Column('text', { nullable: true })
  acknowledgedBy: string | null;

  /** When operators were last mailed that it is so. */
  @Column('timestamptz', { nullable: true })
  mailedAt: Date | null;

  /** How bad it was then; null once they were mailed that it is over. */
  @Column('integer', { nullable: true })
  mailedRank: number | null;
}
