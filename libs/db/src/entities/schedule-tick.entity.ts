import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** Recurring work as the worker's code has it, for whoever looks whether it is done. */
@Entity('schedules')
export class ScheduleEntity {
  @PrimaryColumn('text')
  name: string;

  /** Five fields, UTC. */
  @Column('text')
  cron: string;

  @Column('text')
  job: string;

  /** How long after its time a run may end before it counts as missed. */
  @Column('integer')
  graceSeconds: number;

  @Column('timestamptz')
  createdAt: Date;
}

/** A run of a schedule. Whichever process inserts the row first enqueues the job; the others find it there. */
@Entity('schedule_ticks')
@Index('ix_schedule_ticks_created_at', ['createdAt'])
export class ScheduleTickEntity {
  @PrimaryColumn('text')
  schedule: string;

  /** The time it was due, not the time it was noticed. */
  @PrimaryColumn('timestamptz')
  dueAt: Date;

  @Column('timestamptz')
  createdAt: Date;

  /** When its job had ended well. */
  @Column('timestamptz', { nullable: true })
  finishedAt: Date | null;
}
