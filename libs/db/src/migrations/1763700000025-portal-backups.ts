import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** The portal's own database is backed up, and comes back on another host with every stack. */
export class PortalBackups1763700000025 implements MigrationInterface {
  name = 'PortalBackups1763700000025';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table portal_backups (
         id uuid not null,
         singleton boolean not null default true,
         state text not null,
         reason text not null,
         asked_by text not null,
         asked_at timestamptz not null,
         begun_at timestamptz,
         taken_at timestamptz,
         stored_at timestamptz,
         verified_at timestamptz,
         tries integer not null default 0,
         parts jsonb not null,
         manifest jsonb,
         error jsonb,
         constraint portal_backups_pk primary key (id),
         constraint portal_backups_state check (state in ('asked', 'taking', 'stored', 'verified', 'failed')),
         constraint portal_backups_reason check (reason in ('schedule', 'manual')),
         constraint portal_backups_singleton check (singleton))`,
      `create unique index portal_backups_one_open on portal_backups (singleton)
         where state in ('asked', 'taking', 'stored')`,
      `create table recoveries (
         id uuid not null,
         backup_id uuid not null,
         taken_at timestamptz not null,
         recovered_at timestamptz not null,
         ordered_at timestamptz,
         constraint recoveries_pk primary key (id))`,
      `create table recovery_stacks (
         recovery_id uuid not null,
         tenant_id uuid not null,
         slug text not null,
         backup_id uuid,
         operation_id uuid,
         release_before text,
         why text,
         decided_at timestamptz not null,
         constraint recovery_stacks_pk primary key (recovery_id, tenant_id),
         constraint recovery_stacks_recovery_fk foreign key (recovery_id) references recoveries (id) on delete cascade)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    // Nightly work and repairs would begin on stacks whose data is not back yet.
    const [open]: { there: boolean }[] = await runner.query(
      'select exists (select from recoveries where ordered_at is null) as there',
    );
    if (open?.there) {
      throw new Error('A recovery has not decided on every stack yet');
    }
    await runStatements(runner, [`drop table recovery_stacks, recoveries, portal_backups`]);
  }
}
