import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

const before = `'provision', 'start', 'stop', 'restart', 'destroy', 'suspend', 'resume', 'hibernate', 'wake', 'resize', 'rotate_secrets', 'repair', 'backup', 'restore'`;
const added = `'upgrade', 'rollback'`;

/** Stacks go to another release and back, and what failed on one is not tried there again. */
export class Upgrades1763700000020 implements MigrationInterface {
  name = 'Upgrades1763700000020';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}, ${added}))`,
      `alter table releases add column notes text not null default ''`,
      `create table upgrade_failures (
         tenant_id uuid not null,
         from_release text not null,
         to_release text not null,
         operation_id uuid not null,
         message text not null,
         at timestamptz not null,
         constraint upgrade_failures_pk primary key (tenant_id, from_release, to_release),
         constraint upgrade_failures_tenant_fk foreign key (tenant_id) references tenants (id) on delete cascade)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `drop table upgrade_failures`,
      `alter table releases drop column notes`,
      `delete from operations where kind in (${added}) and state not in ('queued', 'running')`,
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}))`,
    ]);
  }
}
