import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What could not be decided of a stack after a recovery is noted and tried again. */
export class RecoveryUndecided1763700000028 implements MigrationInterface {
  name = 'RecoveryUndecided1763700000028';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table recovery_stacks
         alter column decided_at drop not null,
         add column tried_at timestamptz,
         add column lost boolean not null default false`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `delete from recovery_stacks where decided_at is null`,
      `alter table recovery_stacks
         alter column decided_at set not null,
         drop column tried_at,
         drop column lost`,
    ]);
  }
}
