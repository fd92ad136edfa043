import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Names of owners' own that lead to their dashboards. */
export class Domains1763700000011 implements MigrationInterface {
  name = 'Domains1763700000011';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table tenant_domains (
         id uuid not null constraint tenant_domains_pk primary key,
         tenant_id uuid not null constraint tenant_domains_tenant_fk references tenants (id) on delete cascade,
         domain text not null constraint tenant_domains_lower check (domain = lower(domain)),
         challenge text not null,
         verified_at timestamptz,
         removed_at timestamptz,
         certificate_until timestamptz,
         problem text,
         problem_params jsonb,
         away_since timestamptz,
         failed_orders integer not null,
         addresses jsonb not null,
         checked_at timestamptz,
         next_check_at timestamptz not null,
         created_at timestamptz not null)`,
      `create unique index tenant_domains_owner on tenant_domains (domain)
         where verified_at is not null and removed_at is null`,
      `create unique index tenant_domains_tenant on tenant_domains (tenant_id, domain) where removed_at is null`,
      `create index tenant_domains_due on tenant_domains (next_check_at)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table tenant_domains`]);
  }
}
