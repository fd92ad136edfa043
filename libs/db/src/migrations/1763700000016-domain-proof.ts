import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** When a domain's proof was last seen, which counts for a day only, and whether its owner knows that it is away. */
export class DomainProof1763700000016 implements MigrationInterface {
  name = 'DomainProof1763700000016';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table tenant_domains add column confirmed_at timestamptz, add column told_away_at timestamptz`,
      // Until the next look, which is now: so far a record that was seen once could be taken away.
      `update tenant_domains set confirmed_at = checked_at, next_check_at = now()
        where verified_at is not null and away_since is null and removed_at is null`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table tenant_domains drop column told_away_at, drop column confirmed_at`]);
  }
}
