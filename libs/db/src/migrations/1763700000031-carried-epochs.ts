import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Volumes that an upgrade to another major version of the database took the place of. */
export class CarriedEpochs1763700000031 implements MigrationInterface {
  name = 'CarriedEpochs1763700000031';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table tenants add column carried_epochs integer[] not null default '{}'`]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`alter table tenants drop column carried_epochs`]);
  }
}
