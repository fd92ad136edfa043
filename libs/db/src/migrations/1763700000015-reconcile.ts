import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

const before = `'provision', 'start', 'stop', 'restart', 'destroy', 'suspend', 'resume', 'hibernate', 'wake', 'resize', 'rotate_secrets'`;

/** Repairs as operations of their own, and what is on an engine and belongs to no stack any more. */
export class Reconcile1763700000015 implements MigrationInterface {
  name = 'Reconcile1763700000015';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind
         check (kind in (${before}, 'repair'))`,
      `create table orphans (
         engine_id text not null,
         kind text not null,
         name text not null,
         tenant_id uuid not null,
         why text not null,
         first_seen_at timestamptz not null,
         last_seen_at timestamptz not null,
         constraint orphans_kind check (kind in ('container', 'network', 'volume')),
         constraint orphans_why check (why in ('no_stack', 'not_wanted')),
         constraint orphans_pk primary key (engine_id, kind, name))`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `drop table orphans`,
      // What has ended of them cannot be told any more; what is open has to be ended first.
      `delete from operations where kind = 'repair' and state not in ('queued', 'running')`,
      `alter table operations drop constraint operations_kind`,
      `alter table operations add constraint operations_kind
         check (kind in (${before}))`,
    ]);
  }
}
