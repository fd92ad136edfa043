import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** What a stack that goes on must be told of: its disk, its memory, a service that ended. */
export class StackWarnings1763700000010 implements MigrationInterface {
  name = 'StackWarnings1763700000010';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table stack_warnings (
         tenant_id uuid not null
           constraint stack_warnings_tenant_fk references tenants (id) on delete cascade,
         kind text not null,
         code text not null,
         level text not null,
         message text not null,
         params jsonb not null,
         since timestamptz not null,
         seen_at timestamptz not null,
         told_level text,
         told_at timestamptz,
         hold_asked_at timestamptz,
         held_at timestamptz,
         constraint stack_warnings_kind check (kind in ('disk', 'memory', 'ended')),
         constraint stack_warnings_level check (level in ('warn', 'bad')),
         constraint stack_warnings_pk primary key (tenant_id, kind))`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table stack_warnings`]);
  }
}
