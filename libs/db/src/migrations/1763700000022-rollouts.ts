import type { MigrationInterface, QueryRunner } from 'typeorm';
import { runStatements } from './statements.js';

/** Many stacks go to another release, ring by ring. */
export class Rollouts1763700000022 implements MigrationInterface {
  name = 'Rollouts1763700000022';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [
      `create table rollouts (
         id uuid not null,
         template text not null,
         release_id text not null,
         selection jsonb not null,
         settings jsonb not null,
         state text not null,
         created_by text not null,
         created_at timestamptz not null,
         acknowledged_at timestamptz,
         constraint rollouts_pk primary key (id),
         constraint rollouts_release_fk foreign key (release_id) references releases (id),
         constraint rollouts_state check (state in ('planned', 'running', 'paused', 'halted', 'aborted', 'done')))`,
      `create unique index rollouts_one_open on rollouts (template) where state not in ('aborted', 'done')`,
      `create table rollout_moves (
         rollout_id uuid not null,
         seq integer not null,
         from_state text,
         to_state text not null,
         cause text not null,
         reason text,
         by text not null,
         at timestamptz not null,
         constraint rollout_moves_pk primary key (rollout_id, seq),
         constraint rollout_moves_rollout_fk foreign key (rollout_id) references rollouts (id) on delete cascade)`,
      `create table rollout_stacks (
         rollout_id uuid not null,
         tenant_id uuid not null,
         slug text not null,
         engine_id text not null,
         from_release text not null,
         ring integer,
         place integer not null,
         state text not null,
         operation_id uuid,
         rollback_id uuid,
         ordered_at timestamptz,
         ended_at timestamptz,
         outage_ms integer,
         why text,
         reason text,
         constraint rollout_stacks_pk primary key (rollout_id, tenant_id),
         constraint rollout_stacks_rollout_fk foreign key (rollout_id) references rollouts (id) on delete cascade,
         constraint rollout_stacks_state check
           (state in ('waiting', 'upgrading', 'rolling_back', 'done', 'rolled_back', 'failed', 'skipped')))`,
      `create unique index rollout_stacks_place on rollout_stacks (rollout_id, place)`,
    ]);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, [`drop table rollout_stacks, rollout_moves, rollouts`]);
  }
}
