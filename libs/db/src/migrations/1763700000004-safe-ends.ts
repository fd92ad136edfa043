import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/**
 * What a cancelled operation goes back to and when a waiting one may be tried again; reasons by code; an address that
 * belongs to whoever confirmed it instead of to whoever typed it first; sign-ups that may be sent twice.
 */
export class SafeEnds1763700000004 implements MigrationInterface {
  name = 'SafeEnds1763700000004';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table operations add column desired_before text, add column not_before timestamptz`,
      `alter table operations add constraint operations_desired_before
         check (desired_before in ('running', 'stopped', 'hibernated'))`,
      `alter table tenants add column reason_code text, add column reason_params jsonb`,
      `alter table accounts drop constraint uq_accounts_email`,
      `create unique index uq_accounts_email on accounts (email) where state <> 'pending'`,
      `create index ix_accounts_email on accounts (email)`,
      `create table sign_ups (
         key_hash text not null constraint pk_sign_ups primary key,
         request_hash text not null,
         account_id uuid not null constraint fk_sign_ups_account_id references accounts (id) on delete cascade,
         created_at timestamptz not null)`,
      `create index ix_sign_ups_account_id on sign_ups (account_id)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `drop table sign_ups`,
      `drop index ix_accounts_email`,
      `drop index uq_accounts_email`,
      // Fails while two accounts wait with one address: which of them to lose is not a migration's decision.
      `alter table accounts add constraint uq_accounts_email unique (email)`,
      `alter table tenants drop column reason_params, drop column reason_code`,
      `alter table operations drop column not_before, drop column desired_before`,
    ]);
  }
}
