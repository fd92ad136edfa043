import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** How old the newest backup of a stack that counts may be is its plan's, as is how many are kept. */
export class PlanBackupAge1763700000035 implements MigrationInterface {
  name = 'PlanBackupAge1763700000035';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table plans add column backup_max_age_hours integer not null default 28`,
      `alter table plans add constraint ck_plans_backup_age check (backup_max_age_hours between 1 and 8784)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table plans drop constraint ck_plans_backup_age`,
      `alter table plans drop column backup_max_age_hours`,
    ]);
  }
}
