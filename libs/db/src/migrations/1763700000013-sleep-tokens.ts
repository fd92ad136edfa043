import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** By what programs may wake a stack that sleeps, whose own database cannot be asked then. */
export class SleepTokens1763700000013 implements MigrationInterface {
  name = 'SleepTokens1763700000013';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table sleep_tokens (
         tenant_id uuid not null constraint sleep_tokens_tenant_fk references tenants (id) on delete cascade,
         digest text not null,
         expires_at timestamptz not null,
         constraint sleep_tokens_pk primary key (tenant_id, digest))`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table sleep_tokens`]);
  }
}
