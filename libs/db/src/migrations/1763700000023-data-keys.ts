import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Secrets are sealed under a data key of their stack, and data keys go from one master key to another. */
export class DataKeys1763700000023 implements MigrationInterface {
  name = 'DataKeys1763700000023';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table data_keys (
         owner text not null,
         tenant_id uuid,
         master_key text not null,
         wrapped bytea not null,
         created_at timestamptz not null,
         wrapped_at timestamptz not null,
         constraint data_keys_owner_tenant check (owner = coalesce(tenant_id::text, 'platform')),
         constraint data_keys_pk primary key (owner),
         constraint data_keys_tenant_fk foreign key (tenant_id) references tenants (id) on delete cascade)`,
      `create unique index data_keys_tenant on data_keys (tenant_id)`,
      `create index data_keys_master_key on data_keys (master_key, owner)`,
      `create table key_rotations (
         id uuid not null,
         from_key text not null,
         to_key text not null,
         asked_by text not null,
         asked_at timestamptz not null,
         begun_at timestamptz,
         finished_at timestamptz,
         constraint key_rotations_pk primary key (id))`,
      `create unique index key_rotations_open on key_rotations (from_key) where finished_at is null`,
      `create table key_holders (
         owner text not null,
         engine_id text not null,
         current_key text not null,
         next_key text,
         seen_at timestamptz not null,
         constraint key_holders_pk primary key (owner))`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    // What is sealed under data keys could be opened by nobody afterwards.
    const sealed: { there: boolean }[] = await runner.query(
      `select exists (select from tenant_secrets where get_byte(sealed, 0) = 2)
           or exists (select from repositories where get_byte(sealed, 0) = 2) as there`,
    );
    if (sealed[0]?.there) {
      throw new Error('Secrets are sealed under data keys: without those nobody could open them again');
    }
    await runStatements(runner, [`drop table key_holders`, `drop table key_rotations`, `drop table data_keys`]);
  }
}
