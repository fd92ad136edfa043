import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

const before = `'provision', 'start', 'stop', 'restart', 'destroy', 'suspend', 'resume', 'hibernate', 'wake', 'resize', 'rotate_secrets', 'repair'`;
const added = `'backup', 'restore'`;

/** Backups of stacks with their repositories, and the volumes a restore makes and leaves. */
export class Backups1763700000019 implements MigrationInterface {
  name = 'Backups1763700000019';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}, ${added}))`,
      `alter table operations add column input jsonb`,
      `create unique index operations_one_shared on operations (tenant_id) where not exclusive and state in ('queued', 'running')`,
      `alter table tenants add column next_epoch integer`,
      `alter table tenants add column kept_epochs integer[] not null default '{}'`,
      `create table repositories (
         tenant_id uuid not null,
         sealed bytea not null,
         created_at timestamptz not null,
         constraint repositories_pk primary key (tenant_id),
         constraint repositories_tenant_fk foreign key (tenant_id) references tenants (id) on delete cascade)`,
      `create table backups (
         id uuid not null,
         tenant_id uuid not null,
         operation_id uuid not null,
         state text not null,
         reason text not null,
         release_id text not null,
         begun_at timestamptz not null,
         taken_at timestamptz,
         dumped_at timestamptz,
         stored_at timestamptz,
         verified_at timestamptz,
         parts jsonb not null,
         manifest jsonb,
         error jsonb,
         held boolean not null,
         constraint backups_state check (state in ('taking', 'dumped', 'stored', 'verified', 'failed')),
         constraint backups_reason check (reason in ('schedule', 'manual', 'safety')),
         constraint backups_pk primary key (id),
         constraint backups_tenant_fk foreign key (tenant_id) references tenants (id) on delete cascade)`,
      `create index backups_tenant on backups (tenant_id, begun_at)`,
      `create unique index backups_operation on backups (operation_id)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    const [kept]: { there: boolean }[] = await runner.query('select exists (select from repositories) as there');
    if (kept?.there) {
      throw new Error('Stacks have repositories: without their passwords nobody could open a backup again');
    }
    await runStatements(runner, [
      `drop table backups`,
      `drop table repositories`,
      `alter table tenants drop column kept_epochs`,
      `alter table tenants drop column next_epoch`,
      `drop index operations_one_shared`,
      // What has ended of the new kinds cannot be told any more; what is open has to be ended first.
      `delete from operations where kind in (${added}) and state not in ('queued', 'running')`,
      `alter table operations drop column input`,
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}))`,
    ]);
  }
}
