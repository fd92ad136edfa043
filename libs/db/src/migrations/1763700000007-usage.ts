import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What stacks and hosts use, as samples that grow coarser with their age. */
export class Usage1763700000007 implements MigrationInterface {
  name = 'Usage1763700000007';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table tenant_usage (
         tenant_id uuid not null constraint tenant_usage_tenant_fk references tenants (id) on delete cascade,
         step_seconds integer not null constraint tenant_usage_step check (step_seconds in (60, 300, 3600)),
         at timestamptz not null,
         cpu double precision,
         memory_bytes bigint not null,
         memory_max_bytes bigint not null,
         disk_bytes bigint,
         received_bytes bigint,
         sent_bytes bigint,
         services jsonb,
         constraint tenant_usage_pk primary key (tenant_id, step_seconds, at))`,
      `create index tenant_usage_age on tenant_usage (step_seconds, at)`,
      `create table engine_usage (
         engine_id text not null constraint engine_usage_engine_fk references engines (id) on delete cascade,
         step_seconds integer not null constraint engine_usage_step check (step_seconds in (60, 300, 3600)),
         at timestamptz not null,
         cpu double precision,
         cores integer not null,
         memory_bytes bigint not null,
         memory_max_bytes bigint not null,
         memory_total_bytes bigint not null,
         disk_bytes bigint not null,
         disk_total_bytes bigint not null,
         received_bytes bigint,
         sent_bytes bigint,
         constraint engine_usage_pk primary key (engine_id, step_seconds, at))`,
      `create index engine_usage_age on engine_usage (step_seconds, at)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table engine_usage`, `drop table tenant_usage`]);
  }
}
