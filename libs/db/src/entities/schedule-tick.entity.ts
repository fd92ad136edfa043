import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

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
}
