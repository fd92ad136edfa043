/** In order; never edited once landed. Each runs once, all of a start in one transaction. */
export const MIGRATIONS: readonly { name: string; up: string }[] = [
  {
    name: '0001-stack-and-bots',
    up: `
create table stack (
  single boolean primary key default true check (single),
  tenant uuid not null,
  platform uuid not null,
  generation int not null,
  created_at timestamptz not null default now(),
  checked_at timestamptz not null default now()
);
create table settings (key text primary key, value jsonb not null);
create table assets (
  asset text primary key,
  amount numeric not null check (amount >= 0),
  cost numeric not null default 0
);
create table bots (
  id uuid primary key,
  code text not null unique,
  name text not null,
  pair text not null,
  params jsonb not null,
  state text not null check (state in ('created', 'running', 'paused', 'stopped', 'error')),
  reason text,
  ended_by text check (ended_by in ('user', 'stop_loss', 'take_profit')),
  since timestamptz not null,
  created_at timestamptz not null,
  started_at timestamptz,
  stopped_at timestamptz,
  deleted_at timestamptz,
  grid jsonb not null,
  version int not null default 1,
  final_price numeric,
  day jsonb not null,
  peak numeric not null,
  drawdown numeric not null default 0
);
create table orders (
  id uuid primary key,
  bot_id uuid not null references bots,
  ref int not null,
  client_order_id text not null unique,
  pair text not null,
  side text not null check (side in ('buy', 'sell')),
  type text not null check (type in ('limit', 'market')),
  purpose text not null check (purpose in ('start', 'grid', 'exit')),
  cell int,
  price numeric,
  quantity numeric not null check (quantity > 0),
  filled numeric not null default 0 check (filled >= 0 and filled <= quantity),
  state text not null check (state in ('pending', 'open', 'filled', 'cancelled', 'rejected')),
  reason text,
  placed_at timestamptz not null,
  updated_at timestamptz not null,
  unique (bot_id, ref)
);
create unique index orders_one_live_per_cell on orders (bot_id, cell)
  where state in ('pending', 'open') and cell is not null;
create index orders_live on orders (bot_id) where state in ('pending', 'open');
create table fills (
  trade_id bigint primary key,
  bot_id uuid not null references bots,
  order_id uuid not null references orders,
  cell int,
  side text not null,
  purpose text not null,
  pair text not null,
  price numeric not null,
  quantity numeric not null,
  fee numeric not null,
  cell_profit numeric,
  at timestamptz not null
);
create index fills_of_bot on fills (bot_id, trade_id);
create table events (
  id bigint generated always as identity primary key,
  bot_id uuid references bots,
  at timestamptz not null,
  level text not null,
  kind text not null,
  text text not null
);
create index events_of_bot on events (bot_id, id);
create table equity (
  bot_id uuid not null,
  at timestamptz not null,
  equity numeric not null,
  primary key (bot_id, at)
);
create table candles (
  pair text not null,
  minutes int not null,
  at timestamptz not null,
  open numeric not null,
  high numeric not null,
  low numeric not null,
  close numeric not null,
  primary key (pair, minutes, at)
);
create table paper_prices (pair text primary key, walk jsonb not null, price numeric not null, at timestamptz not null);
create table paper_orders (
  client_order_id text primary key,
  pair text not null,
  side text not null,
  price numeric,
  quantity numeric not null,
  filled numeric not null default 0 check (filled <= quantity),
  state text not null check (state in ('open', 'filled', 'cancelled')),
  created_at timestamptz not null default now()
);
create index paper_orders_open on paper_orders (pair) where state = 'open';
create table paper_trades (
  id bigint generated always as identity primary key,
  client_order_id text not null references paper_orders,
  price numeric not null,
  quantity numeric not null,
  fee numeric not null,
  at timestamptz not null
);
create index paper_trades_of_order on paper_trades (client_order_id);
create table outbox (
  seq bigint generated always as identity primary key,
  id uuid not null unique,
  kind text not null,
  body jsonb not null
);
create unique index outbox_one_heartbeat on outbox (kind) where kind = 'heartbeat';
create table api_tokens (
  id uuid primary key,
  name text not null,
  scope text not null check (scope in ('read', 'trade')),
  hash text not null unique,
  hint text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz
);`,
  },
  {
    name: '0002-codes-requests-refusals',
    up: `
alter table bots add column reason_words jsonb;
alter table events add column code text, add column params jsonb;
create table requests (
  key text primary key,
  hash text not null,
  bot_id uuid not null references bots,
  at timestamptz not null
);
create index requests_by_age on requests (at);
alter table outbox add column refused_at timestamptz, add column refusal text;
create index outbox_waiting on outbox (seq) where refused_at is null;`,
  },
  {
    name: '0003-trades-set-aside',
    up: `
create table trades_set_aside (
  trade_id bigint primary key,
  bot_id uuid not null references bots,
  at timestamptz not null
);`,
  },
  {
    // Without the index every order that is removed would read all fills, for their foreign key.
    name: '0004-what-is-kept',
    up: `
alter table bots add column last_order_at timestamptz;
update bots b set last_order_at = (select max(placed_at) from orders o where o.bot_id = b.id);
create index fills_of_order on fills (order_id);`,
  },
  { name: '0005-refusals-by-code', up: 'alter table orders add column reason_words jsonb;' },
  {
    // Written once a day by itself: settings change only when somebody sets one.
    name: '0006-kept-day',
    up: `
create table kept_day (single boolean primary key default true check (single), value jsonb not null);
insert into kept_day (value) select value from settings where key = 'kept';
delete from settings where key = 'kept';`,
  },
  // Bots of a copy, until a person has each go on.
  { name: '0007-adopted-bots', up: 'alter table bots add column adopted_at timestamptz;' },
];
