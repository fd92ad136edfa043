import { z } from 'zod';
import {
  DomainError,
  tradesQuerySchema,
  type BotEventList,
  type Fill,
  type FillList,
  type OrderList,
  type TradeList,
} from '#libs/contracts';
import { dec, text } from '#libs/trading';
import type { Database } from '../database/database.js';
import { EVENT_COLUMNS, eventView, ORDER_COLUMNS, orderView, type EventRow, type OrderRow } from '../bots/bot-store.js';

export type TradesQuery = z.infer<typeof tradesQuerySchema>;
type FillRow = Omit<Fill, 'at' | 'value'> & { at: Date };

const FILL_COLUMNS = `f.trade_id as id, f.bot_id as "botId", b.name as "botName", f.order_id as "orderId", f.pair,
  f.side, f.purpose, f.cell, f.price, f.quantity, f.fee, f.cell_profit as "cellProfit", f.at`;
const CSV_BATCH = 1000;

/** A cursor is the last key of the page before. */
function after(cursor: string | undefined): string | null {
  if (cursor !== undefined && !/^\d{1,18}$/.test(cursor)) {
    throw new DomainError('VALIDATION_FAILED', {
      message: 'The cursor is not one of ours. Begin with the first page.',
      details: { reason: 'cursor' },
    });
  }
  return cursor ?? null;
}

function pageOf<R, T>(rows: readonly R[], limit: number, make: { view: (row: R) => T; key: (row: R) => string }) {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { items: page.map(make.view), next: rows.length > limit && last ? make.key(last) : null };
}

function fillView(row: FillRow): Fill {
  const plain = (amount: string): string => text(dec(amount));
  return {
    ...row,
    price: plain(row.price),
    quantity: plain(row.quantity),
    fee: plain(row.fee),
    cellProfit: row.cellProfit === null ? null : plain(row.cellProfit),
    value: text(dec(row.price).times(row.quantity)),
    at: row.at.toISOString(),
  };
}

/** Orders, fills and events as they were stored. */
export class History {
  constructor(private readonly database: Database) {}

  async orders(
    botId: string,
    query: { state: 'open' | 'all'; cursor?: string | undefined; limit: number },
  ): Promise<OrderList> {
    const rows = await this.database.sql<OrderRow & { ref: number }>(
      `select ${ORDER_COLUMNS}, o.ref from orders o
       where bot_id = $1 and ($2 = 'all' or state in ('pending', 'open')) and ($3::bigint is null or ref < $3::bigint)
       order by ref desc limit $4`,
      [botId, query.state, after(query.cursor), query.limit + 1],
    );
    return pageOf(rows, query.limit, {
      view: ({ ref: _ref, ...row }) => orderView(row),
      key: ({ ref }) => String(ref),
    });
  }

  async events(botId: string, query: { cursor?: string | undefined; limit: number }): Promise<BotEventList> {
    const rows = await this.database.sql<EventRow>(
      `select ${EVENT_COLUMNS} from events where bot_id = $1 and ($2::bigint is null or id < $2::bigint)
       order by id desc limit $3`,
      [botId, after(query.cursor), query.limit + 1],
    );
    return pageOf(rows, query.limit, { view: eventView, key: ({ id }) => id });
  }

  async fills(query: TradesQuery): Promise<FillList> {
    const { where, values } = filter(query);
    const rows = await this.database.sql<FillRow>(
      `select ${FILL_COLUMNS} from fills f join bots b on b.id = f.bot_id
       where ${where} and ($6::bigint is null or f.trade_id < $6::bigint) order by f.trade_id desc limit $7`,
      [...values, after(query.cursor), query.limit + 1],
    );
    return pageOf(rows, query.limit, { view: fillView, key: ({ id }) => id });
  }

  async trades(query: TradesQuery): Promise<TradeList> {
    const { where, values } = filter(query);
    const [page, [totals]] = await Promise.all([
      this.fills(query),
      this.database.sql<{ count: number; bought: string; sold: string; fees: string; profit: string }>(
        `select count(*)::int as count,
           coalesce(sum(price * quantity) filter (where side = 'buy'), 0) as bought,
           coalesce(sum(price * quantity) filter (where side = 'sell'), 0) as sold,
           coalesce(sum(fee), 0) as fees, coalesce(sum(cell_profit), 0) as profit
         from fills f where ${where}`,
        values,
      ),
    ]);
    const plain = (amount: string | undefined): string => text(dec(amount ?? 0));
    return {
      ...page,
      totals: {
        count: totals?.count ?? 0,
        bought: plain(totals?.bought),
        sold: plain(totals?.sold),
        fees: plain(totals?.fees),
        cellProfit: plain(totals?.profit),
      },
    };
  }

  /** All that match, oldest rows last, a piece at a time: the answer never lies in memory as a whole. */
  async *csv(query: TradesQuery): AsyncIterable<string> {
    yield 'time_utc,bot,pair,side,purpose,price,quantity,value,fee,cell_profit,trade_id,order_id\n';
    let cursor: string | undefined;
    do {
      const page: FillList = await this.fills({ ...query, cursor, limit: CSV_BATCH });
      yield page.items.map(csvLine).join('');
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
  }
}

function filter(query: TradesQuery): { where: string; values: unknown[] } {
  return {
    where: `($1::uuid is null or f.bot_id = $1::uuid) and ($2::text is null or f.pair = $2::text)
      and ($3::text is null or f.side = $3::text) and ($4::timestamptz is null or f.at >= $4::timestamptz)
      and ($5::timestamptz is null or f.at < $5::timestamptz)`,
    values: [query.bot ?? null, query.pair ?? null, query.side ?? null, query.from ?? null, query.to ?? null],
  };
}

function csvLine(fill: Fill): string {
  const cells = [
    fill.at,
    fill.botName,
    fill.pair,
    fill.side,
    fill.purpose,
    fill.price,
    fill.quantity,
    fill.value,
    fill.fee,
    fill.cellProfit ?? '',
    fill.id,
    fill.orderId,
  ];
  return `${cells.map(csvCell).join(',')}\n`;
}

/** Quoted where needed (RFC 4180); a name that a spreadsheet would run as a formula gets an apostrophe (OWASP). */
function csvCell(value: string): string {
  const safe = /^[=+@\t\r]/.test(value) || /^-(?![\d.])/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
