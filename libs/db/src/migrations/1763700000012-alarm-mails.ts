import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Who has seen an alarm, and what operators were last mailed about it. */
export class AlarmMails1763700000012 implements MigrationInterface {
  name = 'AlarmMails1763700000012';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table alarms
         add column acknowledged_at timestamptz,
         add column acknowledged_by text,
         add column mailed_at timestamptz,
         add column mailed_rank integer,
         add constraint alarms_acknowledged check ((acknowledged_at is null) = (acknowledged_by is null))`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table alarms
         drop constraint alarms_acknowledged,
         drop column mailed_rank,
         drop column mailed_at,
         drop column acknowledged_by,
         drop column acknowledged_at`,
    ]);
  }
}
