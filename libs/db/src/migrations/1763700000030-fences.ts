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
    // Of two platforms the one that was replaced would no longer know it, nor the other that it is the newer.
    const [fenced]: { there: boolean }[] = await runner.query(
      'select exists (select from fences) or exists (select from recoveries where ordinal > 0) as there',
    );
    if (fenced?.there) {
      throw new Error(
        'This platform was recovered, or was replaced by one that was: it could not be told from the other',
      );
    }
    await runStatements(runner, [`drop table fences`, `alter table recoveries drop column ordinal`]);
  }
}
