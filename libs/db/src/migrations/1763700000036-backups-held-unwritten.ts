import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What nobody reads is not written any more either; the version before gives it, and still finds it. */
export class BackupsHeldUnwritten1763700000036 implements MigrationInterface {
  name = 'BackupsHeldUnwritten1763700000036';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table backups alter column held set default false`]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table backups alter column held drop default`]);
  }
}
