import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Which of two databases works that came out of one another by a recovery. */
export class Fences1763700000030 implements MigrationInterface {
  name = 'Fences1763700000030';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      // A recovery of an older version's backup needs it before this runs.
      `alter table recoveries add column if not exists ordinal integer not null default 0`,
      `create table fences (
         ordinal integer not null,
         recovery_id uuid not null,
         at timestamptz not null,
         seen_at timestamptz not null,
         constraint fences_pk primary key (ordinal))`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table fences`, `alter table recoveries drop column ordinal`]);
  }
}
