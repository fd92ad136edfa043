import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Downloads of backups as encrypted archives, one at a time of each stack. */
export class Exports1763700000026 implements MigrationInterface {
  name = 'Exports1763700000026';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table exports (
         id uuid not null,
         tenant_id uuid not null,
         backup_id uuid not null,
         taken_at timestamptz not null,
         account_id uuid not null,
         ticket_hash text not null,
         file text not null,
         state text not null,
         asked_at timestamptz not null,
         alive_until timestamptz not null,
         ended_at timestamptz,
         bytes double precision,
         error jsonb,
         constraint exports_pk primary key (id),
         constraint exports_state check (state in ('asked', 'sending', 'sent', 'failed')),
         constraint exports_tenant_fk foreign key (tenant_id) references tenants (id) on delete cascade
       )`,
      `create unique index exports_open on exports (tenant_id) where state in ('asked', 'sending')`,
      `create unique index exports_ticket on exports (ticket_hash)`,
      `create index exports_tenant on exports (tenant_id, asked_at)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table exports`]);
  }
}
