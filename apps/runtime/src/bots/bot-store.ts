import { v7 as newId } from 'uuid';
import { DomainError, type BotEvent, type Fill, type Order } from '#libs/contracts';
import { dec, text, type OrderRequest } from '#libs/trading';
import type { Database, Sql } from '../database/database.js';
import { clientOrderId, type BotRecord } from './bot-record.js';
import type { NewEvent, Reason } from './bot-words.js';

/** A trade as the exchange has it. */
export interface TradeRow {
  id: string;
  ref: number;
  orderId: string;
  side: 'buy' | 'sell';
  purpose: Order['purpose'];
  cell: number | null;
  price: string;
  quantity: string;
  fee: string;
  at: Date;
}

/** Everything one step of a bot changes; stored in one transaction or not at all. */
export interface BotChange {
  before: BotRecord;
  after: BotRecord;
  orders: readonly OrderRequest[];
  /** Refs of orders that are over without a fill: cancelled, or refused with the reason. */
  dropped: readonly { ref: number; state: 'cancelled' | 'rejected'; reason: Reason | null }[];
  fills: readonly { trade: TradeRow; cellProfit: string | null }[];
  events: readonly NewEvent[];
  /** Moves money between the account and the bot within the same transaction. */
  money?: (sql: Sql) => Promise<void>;
  /** Tells the portal, by the outbox. */
  report?: (sql: Sql) => Promise<void>;
  now: Date;
}

/** The Idempotency-Key of a request and the hash of what it asked for. */
export interface RequestKey {
  key: string;
  hash: string;
}

export interface Stored {
  record: BotRecord;
  orders: Order[];
  fills: Fill[];
  events: BotEvent[];
}

/** As long as the portal keeps its own. */
const KEYS_KEPT_MS = 24 * 3_600_000;

const HISTORY_KEPT_MS = 90 * 86_400_000;

const BOT_COLUMNS = `id, code, name, pair, params, state, case when reason is not null then
    coalesce(reason_words, jsonb_build_object('text', reason)) end as reason, ended_by as "endedBy", since,
  created_at as "createdAt", started_at as "startedAt", stopped_at as "stoppedAt", deleted_at as "deletedAt",
  adopted_at as "adoptedAt", grid, version, final_price as "finalPrice", last_order_at as "lastOrderAt", day, peak, drawdown`;
/** Of a table that is called `o` in the statement. */
export const ORDER_COLUMNS = `o.id, o.client_order_id as "clientOrderId", o.bot_id as "botId", o.pair, o.side, o.type,
  o.purpose, o.cell, o.price, o.quantity, o.filled, o.state, o.reason, o.reason_words as "reasonWords", o.placed_at as "placedAt",
  o.updated_at as "updatedAt"`;
export const EVENT_COLUMNS = `id, bot_id as "botId", at, level, kind, text, code, params`;

/** As the driver gives it: times are dates. */
export type OrderRow = Omit<Order, 'placedAt' | 'updatedAt' | 'reasonCode' | 'reasonParams'> & {
  placedAt: Date;
  updatedAt: Date;
  reasonWords: Reason | null;
};
export type EventRow = Omit<BotEvent, 'at' | 'code' | 'params'> & {
  at: Date;
  code: BotEvent['code'] | null;
  params: Record<string, string> | null;
};

const plain = (amount: string): string => text(dec(amount));

export function orderView({ reasonWords, ...row }: OrderRow): Order {
  return {
    ...row,
    ...(reasonWords?.code ? { reasonCode: reasonWords.code, reasonParams: reasonWords.params ?? {} } : {}),
    price: row.price === null ? null : plain(row.price),
    quantity: plain(row.quantity),
    filled: plain(row.filled),
    placedAt: row.placedAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

export function eventView({ code, params, ...row }: EventRow): BotEvent {
  return { ...row, at: row.at.toISOString(), ...(code ? { code, params: params ?? {} } : {}) };
}

export class BotStore {
  constructor(private readonly database: Database) {}

  load(where = 'deleted_at is null', values: unknown[] = []): Promise<BotRecord[]> {
    return this.database.sql<BotRecord>(`select ${BOT_COLUMNS} from bots where ${where} order by created_at`, values);
  }

  /** Stores a new bot with its first step and the key of the request that asked for it, in one transaction. */
  async create(change: BotChange, request: RequestKey | null): Promise<Stored> {
    const { before: record, now } = change;
    return this.database.tx(async (sql) => {
      await sql(
        `insert into bots (id, code, name, pair, params, state, since, created_at, grid, day, peak)
         values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10)`,
        [
          record.id,
          record.code,
          record.name,
          record.pair,
          record.params,
          record.state,
          record.since,
          record.grid,
          record.day,
          record.peak,
        ],
      );
      if (request) {
        await sql('insert into requests (key, hash, bot_id, at) values ($1, $2, $3, $4)', [
          request.key,
          request.hash,
          record.id,
          now,
        ]);
      }
      return storeStep(sql, change);
    });
  }

  /** The bot a request with this key made; null when none did, or longer ago than keys are kept. */
  async madeBy(key: string, now: Date): Promise<{ hash: string; botId: string } | null> {
    await this.database.sql('delete from requests where at <= $1', [new Date(now.getTime() - KEYS_KEPT_MS)]);
    const [row] = await this.database.sql<{ hash: string; botId: string }>(
      'select hash, bot_id as "botId" from requests where key = $1',
      [key],
    );
    return row ?? null;
  }

  /**
   * Stores a step. The version makes sure that no other copy of the bot stored one in between; the fills' keys that
   * no trade is booked twice.
   */
  async save(change: BotChange): Promise<Stored> {
    return this.database.tx((sql) => storeStep(sql, change));
  }

  /** Intents the exchange has not confirmed, as they must be sent. */
  async pending(botId: string): Promise<Order[]> {
    const rows = await this.database.sql<OrderRow>(
      `select ${ORDER_COLUMNS} from orders o where bot_id = $1 and state = 'pending' order by ref`,
      [botId],
    );
    return rows.map(orderView);
  }

  async confirm(ids: readonly string[], now: Date): Promise<Order[]> {
    const rows = await this.database.sql<OrderRow>(
      `update orders o set state = 'open', updated_at = $2 where client_order_id = any($1) and state = 'pending'
       returning ${ORDER_COLUMNS}`,
      [ids, now],
    );
    return rows.map(orderView);
  }

  /** Trades of the bot's orders that it has neither booked nor set aside, oldest first. */
  unbooked(botId: string): Promise<TradeRow[]> {
    return this.database.sql<TradeRow>(
      `select t.id, o.ref, o.id as "orderId", o.side, o.purpose, o.cell, t.price, t.quantity, t.fee, t.at
       from paper_trades t join orders o using (client_order_id)
       where o.bot_id = $1 and o.state in ('pending', 'open')
         and not exists (select 1 from fills f where f.trade_id = t.id)
         and not exists (select 1 from trades_set_aside s where s.trade_id = t.id)
       order by t.id`,
      [botId],
    );
  }

  /**
   * Removes events, and orders that ended without a trade, that are too old to be asked for: a grid that turns often
   * would fill the disk with them. Trades and their orders stay: profit and taxes are worked out from them.
   */
  async prune(now: Date): Promise<void> {
    const before = new Date(now.getTime() - HISTORY_KEPT_MS);
    await this.database.sql('delete from events where at < $1', [before]);
    await this.database.sql(
      `with gone as (
         delete from orders where state in ('cancelled', 'rejected') and filled = 0 and updated_at < $1
         returning client_order_id
       )
       delete from paper_orders p using gone
       where p.client_order_id = gone.client_order_id and p.state = 'cancelled' and p.filled = 0`,
      [before],
    );
  }

  /** Remembers a trade that can never be booked, so that it is told of once and not after every restart. */
  async setAside(botId: string, tradeId: string, now: Date): Promise<void> {
    await this.database.sql(
      'insert into trades_set_aside (trade_id, bot_id, at) values ($1, $2, $3) on conflict do nothing',
      [tradeId, botId, now],
    );
  }
}

async function storeStep(sql: Sql, change: BotChange): Promise<Stored> {
  const { before, after, now } = change;
  const record = { ...after, version: before.version + 1 };
  const moved = await sql(
    `update bots set state = $3, reason = $4, ended_by = $5, since = $6, started_at = $7, stopped_at = $8,
       deleted_at = $9, grid = $10, version = $2 + 1, final_price = $11, day = $12, peak = $13, drawdown = $14,
       reason_words = $15, last_order_at = $16, adopted_at = $17
     where id = $1 and version = $2 returning 1`,
    [
      before.id,
      before.version,
      record.state,
      record.reason?.text ?? null,
      record.endedBy,
      record.since,
      record.startedAt,
      record.stoppedAt,
      record.deletedAt,
      record.grid,
      record.finalPrice,
      record.day,
      record.peak,
      record.drawdown,
      record.reason,
      record.lastOrderAt,
      record.adoptedAt,
    ],
  );
  if (moved.length === 0) {
    throw new DomainError('LOST_RACE');
  }
  await change.money?.(sql);
  // Over before new: an order of the same cell may follow within one step.
  const fills = await insertFills(sql, record, change);
  const changed = await dropOrders(sql, record.id, change);
  const placed = await insertOrders(sql, record, change.orders, now);
  const events = await insertEvents(sql, record.id, change.events, now);
  await change.report?.(sql);
  return { record, orders: [...fills.orders, ...changed, ...placed], fills: fills.fills, events };
}

async function insertOrders(sql: Sql, bot: BotRecord, orders: readonly OrderRequest[], now: Date): Promise<Order[]> {
  if (orders.length === 0) {
    return [];
  }
  const rows = await sql<OrderRow>(
    `insert into orders as o (bot_id, pair, state, placed_at, updated_at, ref, client_order_id, side, type, purpose,
       cell, price, quantity, id)
     select $1, $2, 'pending', $3, $3, * from unnest($4::int[], $5::text[], $6::text[], $7::text[],
       $8::text[], $9::int[], $10::numeric[], $11::numeric[], $12::uuid[])
     returning ${ORDER_COLUMNS}`,
    [
      bot.id,
      bot.pair,
      now,
      orders.map(({ ref }) => ref),
      orders.map(({ ref }) => clientOrderId(bot.code, ref)),
      orders.map(({ side }) => side),
      orders.map(({ type }) => type),
      orders.map(({ purpose }) => purpose),
      orders.map(({ cell }) => cell),
      orders.map(({ price }) => price),
      orders.map(({ quantity }) => quantity),
      orders.map(() => newId()),
    ],
  );
  return rows.map(orderView);
}

async function dropOrders(sql: Sql, botId: string, { dropped, now }: BotChange): Promise<Order[]> {
  if (dropped.length === 0) {
    return [];
  }
  const rows = await sql<OrderRow>(
    `update orders o set state = d.state, reason = d.words ->> 'text', reason_words = d.words, updated_at = $2
     from unnest($3::int[], $4::text[], $5::jsonb[]) as d (ref, state, words)
     where o.bot_id = $1 and o.ref = d.ref and o.state in ('pending', 'open')
     returning ${ORDER_COLUMNS}`,
    [
      botId,
      now,
      dropped.map(({ ref }) => ref),
      dropped.map(({ state }) => state),
      dropped.map(({ reason }) => reason && JSON.stringify(reason)),
    ],
  );
  return rows.map(orderView);
}

async function insertFills(
  sql: Sql,
  bot: BotRecord,
  { fills, now }: BotChange,
): Promise<Pick<Stored, 'orders' | 'fills'>> {
  if (fills.length === 0) {
    return { orders: [], fills: [] };
  }
  await sql(
    `insert into fills (bot_id, pair, trade_id, order_id, cell, side, purpose, price, quantity, fee, at, cell_profit)
     select $1, $2, * from unnest($3::bigint[], $4::uuid[], $5::int[], $6::text[], $7::text[], $8::numeric[],
       $9::numeric[], $10::numeric[], $11::timestamptz[], $12::numeric[])`,
    [
      bot.id,
      bot.pair,
      fills.map(({ trade }) => trade.id),
      fills.map(({ trade }) => trade.orderId),
      fills.map(({ trade }) => trade.cell),
      fills.map(({ trade }) => trade.side),
      fills.map(({ trade }) => trade.purpose),
      fills.map(({ trade }) => trade.price),
      fills.map(({ trade }) => trade.quantity),
      fills.map(({ trade }) => trade.fee),
      fills.map(({ trade }) => trade.at),
      fills.map(({ cellProfit }) => cellProfit),
    ],
  );
  const orders = await sql<OrderRow>(
    `update orders o set filled = s.filled, updated_at = $2,
       state = case when s.filled = o.quantity then 'filled' else 'open' end
     from (select order_id, sum(quantity) as filled from fills where order_id = any($1) group by order_id) s
     where o.id = s.order_id returning ${ORDER_COLUMNS}`,
    [[...new Set(fills.map(({ trade }) => trade.orderId))], now],
  );
  return {
    orders: orders.map(orderView),
    fills: fills.map(({ trade, cellProfit }) => ({
      id: trade.id,
      botId: bot.id,
      botName: bot.name,
      orderId: trade.orderId,
      pair: bot.pair,
      side: trade.side,
      purpose: trade.purpose,
      cell: trade.cell,
      price: plain(trade.price),
      quantity: plain(trade.quantity),
      value: text(dec(trade.price).times(trade.quantity)),
      fee: plain(trade.fee),
      cellProfit,
      at: trade.at.toISOString(),
    })),
  };
}

export async function insertEvents(
  sql: Sql,
  botId: string | null,
  events: readonly NewEvent[],
  now: Date,
): Promise<BotEvent[]> {
  if (events.length === 0) {
    return [];
  }
  const rows = await sql<EventRow>(
    `insert into events (bot_id, at, level, kind, text, code, params)
     select $1, $2, * from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
     returning ${EVENT_COLUMNS}`,
    [
      botId,
      now,
      events.map(({ level }) => level),
      events.map(({ kind }) => kind),
      events.map((event) => event.text),
      events.map(({ code }) => code),
      events.map(({ params }) => JSON.stringify(params)),
    ],
  );
  return rows.map(eventView);
}
