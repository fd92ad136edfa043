import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

const before = `'provision', 'start', 'stop', 'restart', 'destroy', 'suspend', 'resume', 'hibernate', 'wake', 'resize', 'rotate_secrets', 'repair', 'backup', 'restore', 'upgrade', 'rollback'`;
const added = `'prune', 'undo_restore', 'clone'`;

/** How many backups stay is the plan's, how long what one holds was what its stack had, and of which a stack was made. */
export class BackupsKept1763700000024 implements MigrationInterface {
  name = 'BackupsKept1763700000024';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}, ${added}))`,
      `alter table backups add column same_until timestamptz`,
      `alter table plans add column keep_daily integer not null default 7`,
      `alter table plans add column keep_weekly integer not null default 0`,
      `alter table plans add column keep_monthly integer not null default 0`,
      // What a plan promised in days, in as many backups: every day of a week, a week of a month, a month.
      `update plans set keep_daily = greatest(1, least(backup_retention_days, 7)),
         keep_weekly = case when backup_retention_days > 7 then least(backup_retention_days / 7, 4) else 0 end,
         keep_monthly = backup_retention_days / 30`,
      `alter table plans add constraint ck_plans_kept check (keep_daily between 1 and 366 and keep_weekly between 0 and 260 and keep_monthly between 0 and 120)`,
      `alter table tenants add column cloned_from jsonb`,
      `alter table tenants add column trading_held_since timestamptz`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table tenants drop column trading_held_since`,
      `alter table tenants drop column cloned_from`,
      `alter table plans drop constraint ck_plans_kept`,
      `alter table plans drop column keep_monthly`,
      `alter table plans drop column keep_weekly`,
      `alter table plans drop column keep_daily`,
      `alter table backups drop column same_until`,
      `delete from operations where kind in (${added}) and state not in ('queued', 'running')`,
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}))`,
    ]);
  }
}
