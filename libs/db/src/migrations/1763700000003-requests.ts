import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Requests with an Idempotency-Key and their answers, kept for a day. */
export class Requests1763700000003 implements MigrationInterface {
  name = 'Requests1763700000003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`set local lock_timeout = '5s'`);
    await runner.query(`
      create table requests (
        account_id uuid not null,
        key text not null,
        claim_id uuid not null,
        request_hash text not null,
        operation_id uuid,
        status integer,
        body jsonb,
        created_at timestamptz not null,
        answered_at timestamptz,
        expires_at timestamptz not null,
        constraint requests_pk primary key (account_id, key),
        constraint requests_account_fk foreign key (account_id) references accounts (id) on delete cascade,
        constraint requests_key check (length(key) between 1 and 200),
        constraint requests_answer check ((status is null) = (answered_at is null))
      )`);
    await runner.query(`create index requests_expiry on requests (expires_at)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`set local lock_timeout = '5s'`);
    await runner.query(`drop table requests`);
  }
}
