import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLES = [
  `create table engines (
    id text not null,
    kind text not null,
    capacity jsonb not null,
    created_at timestamptz not null,
    seen_at timestamptz not null,
    constraint engines_kind check (kind in ('docker', 'swarm')),
    constraint engines_pk primary key (id)
  )`,
  `create table releases (
    id text not null,
    template text not null,
    version text not null,
    definition jsonb not null,
    images jsonb not null,
    state text not null,
    created_at timestamptz not null,
    constraint releases_state check (state in ('draft', 'candidate', 'stable', 'withdrawn')),
    constraint releases_pk primary key (id)
  )`,
  `create table tenants (
    id uuid not null,
    account_id uuid not null,
    engine_id text not null,
    slug text not null,
    name text not null,
    template text not null,
    release_id text not null,
    limits jsonb not null,
    desired text not null,
    generation integer not null,
    provisioning_generation integer not null,
    epoch integer not null,
    public_key text,
    observed text not null,
    observed_since timestamptz not null,
    checked_at timestamptz,
    reason text,
    created_at timestamptz not null,
    constraint tenants_counters check (generation >= 1 and epoch >= 1),
    constraint tenants_observed check (observed in ('none', 'running', 'stopped', 'partial', 'failed')),
    constraint tenants_desired check (desired in ('running', 'stopped', 'hibernated', 'deleted')),
    constraint tenants_slug check (slug ~ '^u[a-z2-7]{6}$'),
    constraint tenants_pk primary key (id)
  )`,
  `create table holds (
    tenant_id uuid not null,
    reason text not null,
    note text,
    created_at timestamptz not null,
    constraint holds_reason check (reason in ('billing', 'operator', 'disclaimer', 'exchange_key', 'breaker', 'verify_only')),
    constraint holds_pk primary key (tenant_id, reason)
  )`,
  `create table tenant_subnets (
    engine_id text not null,
    subnet integer not null,
    tenant_id uuid not null,
    constraint tenant_subnets_pk primary key (engine_id, subnet)
  )`,
  `create table edge_slots (
    engine_id text not null,
    edge integer not null,
    slot integer not null,
    tenant_id uuid not null,
    service text not null,
    constraint edge_slots_pk primary key (engine_id, edge, slot)
  )`,
  `create table hostnames (
    host text not null,
    tenant_id uuid not null,
    kind text not null,
    constraint hostnames_pk primary key (host)
  )`,
  `create table tenant_secrets (
    tenant_id uuid not null,
    name text not null,
    sealed bytea not null,
    created_at timestamptz not null,
    constraint tenant_secrets_pk primary key (tenant_id, name)
  )`,
  `create table heartbeats (
    tenant_id uuid not null,
    at timestamptz not null,
    bots integer not null,
    running_bots integer not null,
    open_orders integer not null,
    equity text not null,
    constraint heartbeats_pk primary key (tenant_id)
  )`,
  `create table runtime_events (
    id uuid not null,
    tenant_id uuid not null,
    at timestamptz not null,
    event text not null,
    bot uuid,
    text text not null,
    constraint runtime_events_pk primary key (id)
  )`,
  `create table sign_on_codes (
    code_hash text not null,
    tenant_id uuid not null,
    account_id uuid not null,
    session_id uuid not null,
    host text not null,
    state text not null,
    next text not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint sign_on_codes_pk primary key (code_hash)
  )`,
  `create table operations (
    id uuid not null,
    tenant_id uuid not null,
    slug text not null,
    account_id uuid not null,
    engine_id text not null,
    kind text not null,
    state text not null,
    exclusive boolean not null,
    requested_by text not null,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz not null,
    cancel_requested_at timestamptz,
    lease_owner text,
    lease_expires_at timestamptz,
    fencing integer not null,
    attempts integer not null,
    error jsonb,
    constraint operations_state check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    constraint operations_kind check (kind in ('provision', 'start', 'stop', 'restart', 'destroy')),
    constraint operations_pk primary key (id)
  )`,
  `create table operation_steps (
    operation_id uuid not null,
    seq integer not null,
    phase text not null,
    action text,
    target text,
    state text not null,
    started_at timestamptz,
    finished_at timestamptz,
    detail text,
    constraint operation_steps_state check (state in ('pending', 'running', 'done', 'failed', 'skipped')),
    constraint operation_steps_pk primary key (operation_id, seq)
  )`,
  `create index operations_kind_finished on operations (kind, finished_at)`,
  `create index operations_open on operations (engine_id, state) where state in ('queued', 'running')`,
  `create index operations_account on operations (account_id, created_at)`,
  `create unique index operations_one_open on operations (tenant_id) where exclusive and state in ('queued', 'running')`,
  `create index releases_template on releases (template, created_at)`,
  `create unique index tenants_slug_unique on tenants (slug)`,
  `create index tenants_engine on tenants (engine_id)`,
  `create index tenants_account on tenants (account_id)`,
  `create unique index tenant_subnets_tenant on tenant_subnets (tenant_id)`,
  `create unique index edge_slots_service on edge_slots (tenant_id, service)`,
  `create index hostnames_tenant on hostnames (tenant_id)`,
  `create index runtime_events_tenant on runtime_events (tenant_id, at)`,
  `create index sign_on_codes_expiry on sign_on_codes (expires_at)`,
  `alter table operation_steps add constraint operation_steps_operation_fk foreign key (operation_id) references operations(id) on delete cascade`,
  `alter table tenants add constraint tenants_account_fk foreign key (account_id) references accounts(id)`,
  `alter table tenants add constraint tenants_engine_fk foreign key (engine_id) references engines(id)`,
  `alter table tenants add constraint tenants_release_fk foreign key (release_id) references releases(id)`,
  `alter table holds add constraint holds_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table tenant_subnets add constraint tenant_subnets_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table edge_slots add constraint edge_slots_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table hostnames add constraint hostnames_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table tenant_secrets add constraint tenant_secrets_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table heartbeats add constraint heartbeats_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table runtime_events add constraint runtime_events_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
  `alter table sign_on_codes add constraint sign_on_codes_tenant_fk foreign key (tenant_id) references tenants(id) on delete cascade`,
];

/** Pages follow a stack or an operation live: every change of a row is announced with the id to read again. */
const ANNOUNCEMENTS = [
  `create function announce_operation() returns trigger language plpgsql as $$
   begin
     perform pg_notify('aviary_operation', new.id::text);
     perform pg_notify('aviary_stack', new.tenant_id::text);
     return null;
   end $$`,
  `create function announce_step() returns trigger language plpgsql as $$
   begin
     perform pg_notify('aviary_operation', new.operation_id::text);
     return null;
   end $$`,
  `create function announce_tenant() returns trigger language plpgsql as $$
   begin
     perform pg_notify('aviary_stack', coalesce(new.id, old.id)::text);
     return null;
   end $$`,
  `create function announce_part() returns trigger language plpgsql as $$
   begin
     perform pg_notify('aviary_stack', coalesce(new.tenant_id, old.tenant_id)::text);
     return null;
   end $$`,
  // A renewed lease is no news to anybody.
  `create trigger operations_announced after insert or update of state, cancel_requested_at, error on operations
     for each row execute function announce_operation()`,
  `create trigger operation_steps_announced after insert or update on operation_steps
     for each row execute function announce_step()`,
  `create trigger tenants_announced after insert or update or delete on tenants
     for each row execute function announce_tenant()`,
  `create trigger holds_announced after insert or delete on holds for each row execute function announce_part()`,
  `create trigger heartbeats_announced after insert or update on heartbeats for each row execute function announce_part()`,
];

export class Stacks1763700000002 implements MigrationInterface {
  name = 'Stacks1763700000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`set local lock_timeout = '5s'`);
    for (const statement of [...TABLES, ...ANNOUNCEMENTS]) {
      await runner.query(statement);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`set local lock_timeout = '5s'`);
    await runner.query(
      `drop table operation_steps, operations, sign_on_codes, runtime_events, heartbeats, tenant_secrets, hostnames,
                  edge_slots, tenant_subnets, holds, tenants, releases, engines`,
    );
    await runner.query(`drop function announce_operation, announce_step, announce_tenant, announce_part`);
  }
}
