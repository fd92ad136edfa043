import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What the agent of an engine says of itself, and which agents stand by. */
export class EngineFigures1763700000021 implements MigrationInterface {
  name = 'EngineFigures1763700000021';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table engines add column figures jsonb`,
      `create table engine_stand_bys (
         engine_id text not null,
         owner text not null,
         since timestamptz not null,
         seen_at timestamptz not null,
         constraint engine_stand_bys_pk primary key (engine_id, owner),
         constraint engine_stand_bys_engine_fk foreign key (engine_id) references engines (id) on delete cascade)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table engine_stand_bys`, `alter table engines drop column figures`]);
  }
}
