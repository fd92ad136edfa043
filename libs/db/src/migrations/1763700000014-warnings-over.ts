import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** A warning that is over is kept for a while, so that one which comes and goes is not told each time. */
export class WarningsOver1763700000014 implements MigrationInterface {
  name = 'WarningsOver1763700000014';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table stack_warnings add column over_at timestamptz`]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `delete from stack_warnings where over_at is not null`,
      `alter table stack_warnings drop column over_at`,
    ]);
  }
}
