import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** From when on an orphan is removed. */
export class OrphansDue1763700000018 implements MigrationInterface {
  name = 'OrphansDue1763700000018';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table orphans add column remove_at timestamptz`]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table orphans drop column remove_at`]);
  }
}
