import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What is seen to be wrong with the bots of a stack after its upgrade in a rollout, and since when. */
export class RolloutBots1763700000038 implements MigrationInterface {
  name = 'RolloutBots1763700000038';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table rollout_stacks add column bots_wrong text`,
      `alter table rollout_stacks add column bots_since timestamptz`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table rollout_stacks drop column bots_since`,
      `alter table rollout_stacks drop column bots_wrong`,
    ]);
  }
}
