import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What recurring work there is and which run of it ended well; what operators must know; which agent acts on an engine. */
export class Watch1763700000009 implements MigrationInterface {
  name = 'Watch1763700000009';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table schedules (
         name text not null constraint pk_schedules primary key,
         cron text not null,
         job text not null,
         grace_seconds integer not null,
         created_at timestamptz not null)`,
      `alter table schedule_ticks add column finished_at timestamptz`,
      `create table alarms (
         key text not null constraint pk_alarms primary key,
         code text not null,
         severity text not null constraint alarms_severity check (severity in ('warning', 'critical')),
         message text not null,
         params jsonb not null,
         since timestamptz not null,
         seen_at timestamptz not null,
         ended_at timestamptz)`,
      `create table engine_leases (
         engine_id text not null constraint pk_engine_leases primary key
           constraint fk_engine_leases_engine_id references engines (id) on delete cascade,
         owner text not null,
         fencing integer not null,
         taken_at timestamptz not null,
         expires_at timestamptz not null)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `drop table engine_leases`,
      `drop table alarms`,
      `alter table schedule_ticks drop column finished_at`,
      `drop table schedules`,
    ]);
  }
}
