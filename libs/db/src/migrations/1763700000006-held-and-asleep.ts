import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

const before = `'provision', 'start', 'stop', 'restart', 'destroy'`;
const added = `'suspend', 'resume', 'hibernate', 'wake', 'resize', 'rotate_secrets'`;

/** Operations that hold, put to sleep, resize and rotate; a rotated secret keeps its old value until the new one works. */
export class HeldAndAsleep1763700000006 implements MigrationInterface {
  name = 'HeldAndAsleep1763700000006';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}, ${added}))`,
      `alter table tenant_secrets add column previous bytea`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table tenant_secrets drop column previous`,
      // What has ended of the new kinds cannot be told any more; what is open has to be ended first.
      `delete from operations where kind in (${added}) and state not in ('queued', 'running')`,
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind check (kind in (${before}))`,
    ]);
  }
}
