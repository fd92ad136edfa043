import type { MigrationInterface, QueryRunner } from 'typeorm';
import { newId } from '../ids.js';
import { runStatements } from './statements.js';

const UP = [
  `create table platforms (
     id uuid not null constraint pk_platforms primary key,
     singleton boolean not null constraint uq_platforms_singleton unique constraint ck_platforms_singleton check (singleton),
     created_at timestamptz not null)`,
  `create table plans (
     id uuid not null constraint pk_plans primary key,
     code text not null constraint uq_plans_code unique,
     name text not null,
     position integer not null,
     price_minor integer not null,
     currency text not null,
     profit_share_bps integer not null,
     max_position_bps integer not null,
     leverage integer not null,
     trial_days integer not null,
     stacks integer not null,
     limits jsonb not null,
     backup_retention_days integer not null,
     support_priority integer not null,
     strategies jsonb,
     created_at timestamptz not null,
     constraint ck_plans_money check (price_minor >= 0 and stacks >= 0 and trial_days >= 0),
     constraint ck_plans_rates check (profit_share_bps between 0 and 10000 and max_position_bps between 1 and 10000))`,
  `create table accounts (
     id uuid not null constraint pk_accounts primary key,
     email text not null constraint uq_accounts_email unique,
     username text not null constraint uq_accounts_username unique,
     password_hash text not null,
     role text not null constraint ck_accounts_role check (role in ('subscriber', 'operator')),
     state text not null constraint ck_accounts_state check (state in
       ('pending', 'pending_api', 'pending_approval', 'rejected', 'active', 'suspended', 'banned')),
     plan_id uuid not null constraint fk_accounts_plan_id references plans (id),
     email_verified_at timestamptz,
     trial_ends_at timestamptz,
     created_at timestamptz not null,
     updated_at timestamptz not null,
     constraint ck_accounts_lower_case check (email = lower(email) and username = lower(username)))`,
  `create index ix_accounts_plan_id on accounts (plan_id)`,
  `create table sessions (
     id uuid not null constraint pk_sessions primary key,
     account_id uuid not null constraint fk_sessions_account_id references accounts (id) on delete cascade,
     ip text,
     user_agent text,
     created_at timestamptz not null,
     last_used_at timestamptz not null,
     expires_at timestamptz not null,
     revoked_at timestamptz,
     revoke_reason text)`,
  `create index ix_sessions_account_id on sessions (account_id)`,
  `create index ix_sessions_revoked_at on sessions (revoked_at)`,
  `create table refresh_tokens (
     id uuid not null constraint pk_refresh_tokens primary key,
     session_id uuid not null constraint fk_refresh_tokens_session_id references sessions (id) on delete cascade,
     token_hash text not null constraint uq_refresh_tokens_token_hash unique,
     created_at timestamptz not null,
     used_at timestamptz)`,
  `create index ix_refresh_tokens_session_id on refresh_tokens (session_id)`,
  `create table sign_in_guards (
     id uuid not null constraint pk_sign_in_guards primary key,
     subject text not null,
     scope text not null,
     failures integer not null constraint ck_sign_in_guards_failures check (failures >= 0),
     locked_until timestamptz,
     updated_at timestamptz not null,
     constraint uq_sign_in_guards_subject_scope unique (subject, scope))`,
  `create index ix_sign_in_guards_updated_at on sign_in_guards (updated_at)`,
  `create table known_devices (
     id uuid not null constraint pk_known_devices primary key,
     account_id uuid not null constraint fk_known_devices_account_id references accounts (id) on delete cascade,
     token_hash text not null constraint uq_known_devices_token_hash unique,
     created_at timestamptz not null,
     last_used_at timestamptz not null)`,
  `create index ix_known_devices_account_id on known_devices (account_id)`,
  `create table mail_tokens (
     id uuid not null constraint pk_mail_tokens primary key,
     account_id uuid not null constraint fk_mail_tokens_account_id references accounts (id) on delete cascade,
     kind text not null constraint ck_mail_tokens_kind check (kind in ('verify_email')),
     token_hash text not null constraint uq_mail_tokens_token_hash unique,
     created_at timestamptz not null,
     expires_at timestamptz not null,
     used_at timestamptz)`,
  `create index ix_mail_tokens_account_id on mail_tokens (account_id)`,
  `create table disclaimer_acceptances (
     id uuid not null constraint pk_disclaimer_acceptances primary key,
     account_id uuid not null constraint fk_disclaimer_acceptances_account_id references accounts (id) on delete cascade,
     version text not null,
     sha256 text not null,
     accepted_at timestamptz not null,
     ip text,
     constraint uq_disclaimer_acceptances_account_version unique (account_id, version))`,
  `create table audit_entries (
     id uuid not null constraint pk_audit_entries primary key,
     at timestamptz not null,
     actor_kind text not null,
     actor_id uuid,
     actor_name text not null,
     via text,
     ip text,
     session_id uuid,
     action text not null,
     target_kind text not null,
     target_id text not null,
     before jsonb,
     after jsonb)`,
  `create index ix_audit_entries_at on audit_entries (at)`,
  `create index ix_audit_entries_actor_id on audit_entries (actor_id, at)`,
  `create index ix_audit_entries_target on audit_entries (target_kind, target_id, at)`,
  `create table audit_seals (
     seq bigint not null constraint pk_audit_seals primary key,
     entry_id uuid not null constraint uq_audit_seals_entry_id unique
       constraint fk_audit_seals_entry_id references audit_entries (id),
     entry_hash text not null,
     hash text not null,
     sealed_at timestamptz not null)`,
  `create table outbox_mails (
     id uuid not null constraint pk_outbox_mails primary key,
     recipient text not null,
     subject text not null,
     text text not null,
     html text not null,
     state text not null constraint ck_outbox_mails_state check (state in ('queued', 'sent', 'failed', 'kept')),
     attempts integer not null,
     last_error text,
     created_at timestamptz not null,
     sent_at timestamptz)`,
  `create index ix_outbox_mails_created_at on outbox_mails (created_at)`,
  `create table schedule_ticks (
     schedule text not null,
     due_at timestamptz not null,
     created_at timestamptz not null,
     constraint pk_schedule_ticks primary key (schedule, due_at))`,
  `create index ix_schedule_ticks_created_at on schedule_ticks (created_at)`,
];

const DOWN = [
  'schedule_ticks',
  'outbox_mails',
  'audit_seals',
  'audit_entries',
  'disclaimer_acceptances',
  'mail_tokens',
  'known_devices',
  'sign_in_guards',
  'refresh_tokens',
  'sessions',
  'accounts',
  'plans',
  'platforms',
].map((table) => `drop table ${table}`);

interface SeedPlan {
  code: string;
  name: string;
  usd: number;
  profitShare: number;
  maxPosition: number;
  leverage: number;
  stacks: number;
  limits: { cpus: number; memoryMb: number; diskGb: number; pids: number; bots: number };
  retentionDays: number;
  supportPriority: number;
}

/** Prices, shares and positions are the product's defaults; operators edit the rows afterwards. */
const PLANS: SeedPlan[] = [
  {
    code: 'free',
    name: 'Free',
    usd: 0,
    profitShare: 30,
    maxPosition: 5,
    leverage: 1,
    stacks: 1,
    limits: { cpus: 1, memoryMb: 512, diskGb: 2, pids: 256, bots: 2 },
    retentionDays: 3,
    supportPriority: 4,
  },
  {
    code: 'basic',
    name: 'Basic',
    usd: 29,
    profitShare: 20,
    maxPosition: 15,
    leverage: 2,
    stacks: 1,
    limits: { cpus: 1, memoryMb: 768, diskGb: 5, pids: 384, bots: 5 },
    retentionDays: 7,
    supportPriority: 3,
  },
  {
    code: 'pro',
    name: 'Pro',
    usd: 99,
    profitShare: 10,
    maxPosition: 30,
    leverage: 5,
    stacks: 3,
    limits: { cpus: 2, memoryMb: 1536, diskGb: 20, pids: 768, bots: 20 },
    retentionDays: 30,
    supportPriority: 2,
  },
  {
    code: 'premium',
    name: 'Premium',
    usd: 299,
    profitShare: 5,
    maxPosition: 50,
    leverage: 10,
    stacks: 10,
    limits: { cpus: 4, memoryMb: 4096, diskGb: 50, pids: 1536, bots: 100 },
    retentionDays: 90,
    supportPriority: 1,
  },
];

export class Accounts1763700000001 implements MigrationInterface {
  name = 'Accounts1763700000001';

  async up(runner: QueryRunner): Promise<void> {
    await runStatements(runner, UP);
    for (const [position, plan] of PLANS.entries()) {
      await runner.query(
        `insert into plans (id, code, name, position, price_minor, currency, profit_share_bps, max_position_bps,
           leverage, trial_days, stacks, limits, backup_retention_days, support_priority, strategies, created_at)
         values ($1, $2, $3, $4, $5, 'USD', $6, $7, $8, 7, $9, $10, $11, $12, null, now())`,
        [
          newId(),
          plan.code,
          plan.name,
          position,
          plan.usd * 100,
          plan.profitShare * 100,
          plan.maxPosition * 100,
          plan.leverage,
          plan.stacks,
          JSON.stringify(plan.limits),
          plan.retentionDays,
          plan.supportPriority,
        ],
      );
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runStatements(runner, DOWN);
  }
}
