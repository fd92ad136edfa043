import { DomainError, type Pair } from '#libs/contracts';
import { crosses, dec, matchOrder, refusal, text, type PaperOrder, type PaperTrade, type Refusal } from '#libs/trading';
import type { Database, Sql } from '../database/database.js';
import type { PriceSource } from '../market/price-source.js';
import { marketOf } from './markets.js';

export interface PlaceOrder {
  clientOrderId: string;
  pair: Pair;
  side: 'buy' | 'sell';
  /** Null for a market order. */
  price: string | null;
  quantity: string;
}
/** A refusal has a code where the exchange gives one that is known. */
export type Placed = { clientOrderId: string; refusal: (Pick<Refusal, 'text'> & Partial<Refusal>) | null };

interface BookOrder extends PaperOrder {
  pair: Pair;
}
interface Match {
  order: BookOrder;
  trade: PaperTrade;
}

/**
 * An exchange whose book and trades lie in the stack's Postgres, apart from what the bots know: a bot learns of its
 * orders only by asking here, as it would of a real exchange. One change at a time; the copy of the book in memory
 * follows the commit and is read anew after any failure, since then nobody knows whether the commit came through.
 */
export class PaperExchange {
  private readonly book = new Map<string, BookOrder>();
  private tail: Promise<unknown> = Promise.resolve();
  private stale = true;

  constructor(
    private readonly database: Database,
    private readonly prices: PriceSource,
    /** Throws TRADING_HELD while nothing of the stack may trade: whatever asks, no order gets past here. */
    private readonly requireTrading: () => void,
  ) {}

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.tail.then(async () => {
      try {
        if (this.stale) {
          await this.load();
        }
        return await work();
      } catch (error) {
        this.stale = true;
        throw error;
      }
    });
    this.tail = mine.catch(() => undefined);
    return mine;
  }

  private async load(): Promise<void> {
    const rows = await this.database.sql<Omit<BookOrder, 'id'> & { id: string }>(
      `select client_order_id as id, pair, side, price, quantity, filled from paper_orders where state = 'open'`,
    );
    this.book.clear();
    for (const row of rows) {
      // Numbers come back with the scale they were summed in; the seeded fills need one spelling.
      this.book.set(row.id, { ...row, filled: text(dec(row.filled)) });
    }
    this.stale = false;
  }

  /**
   * Takes orders; one whose id is known already is a success and changes nothing. What is marketable trades at once.
   * Refusals are answers, not errors.
   */
  place(orders: readonly PlaceOrder[]): Promise<Placed[]> {
    return this.exclusive(async () => {
      this.requireTrading();
      const answers = orders.map((order) => ({ order, reason: this.refusalOf(order) }));
      const good = answers.filter(({ reason }) => reason === null).map(({ order }) => order);
      const matches: Match[] = [];
      const fresh: BookOrder[] = [];
      await this.database.tx(async (sql) => {
        const inserted = new Set(await insertOrders(sql, good));
        for (const order of good.filter(({ clientOrderId }) => inserted.has(clientOrderId))) {
          // Field by field: whoever sends a stored order again hands over one that has an `id` of its own.
          const { clientOrderId: id, pair, side, price, quantity } = order;
          const booked: BookOrder = { id, pair, side, price, quantity, filled: '0' };
          fresh.push(booked);
          matches.push(...this.match(booked, true));
        }
        await this.store(sql, matches);
      });
      fresh.forEach((order) => this.book.set(order.id, order));
      this.settle(matches);
      return answers.map(({ order, reason }) => ({ clientOrderId: order.clientOrderId, refusal: reason }));
    });
  }

  private refusalOf(order: PlaceOrder): Refusal | null {
    const price = order.price ?? this.prices.get(order.pair)?.price;
    if (price === undefined || !this.prices.isFresh(order.pair, new Date())) {
      throw new DomainError('PRICE_STALE');
    }
    return refusal(
      { price, quantity: order.quantity, type: order.price === null ? 'market' : 'limit' },
      marketOf(order.pair).rules,
    );
  }

  /** What became of these orders; an id the exchange never took is not among them. */
  states(ids: readonly string[]): Promise<Map<string, 'open' | 'filled' | 'cancelled'>> {
    return this.exclusive(async () => {
      const rows = await this.database.sql<{ id: string; state: 'open' | 'filled' | 'cancelled' }>(
        'select client_order_id as id, state from paper_orders where client_order_id = any($1)',
        [ids],
      );
      return new Map(rows.map(({ id, state }) => [id, state]));
    });
  }

  /** Cancels what is still open; the rest is over already, which is what was wanted. */
  cancel(ids: readonly string[]): Promise<void> {
    return this.exclusive(async () => {
      await this.database.sql(
        `update paper_orders set state = 'cancelled' where client_order_id = any($1) and state = 'open'`,
        [ids],
      );
      ids.forEach((id) => this.book.delete(id));
    });
  }

  /** Ids of open orders whose id begins with `prefix`. */
  openOrders(prefix: string): Promise<string[]> {
    return this.exclusive(async () => [...this.book.keys()].filter((id) => id.startsWith(prefix)));
  }

  /** Matches the book against the present prices; gives the ids that traded. */
  tick(): Promise<string[]> {
    return this.exclusive(async () => {
      const matches = [...this.book.values()].flatMap((order) => this.match(order, false));
      if (matches.length > 0) {
        await this.database.tx((sql) => this.store(sql, matches));
        this.settle(matches);
      }
      return matches.map(({ order }) => order.id);
    });
  }

  private match(order: BookOrder, arriving: boolean): Match[] {
    const price = this.prices.get(order.pair)?.price;
    if (price === undefined || !crosses(order, price)) {
      return [];
    }
    const { seed, partialChance } = this.prices.settings;
    const trade = matchOrder(
      order,
      { price, key: this.prices.stepOf(order.pair), arriving },
      { rules: marketOf(order.pair).rules, seed, partialChance },
    );
    return trade ? [{ order, trade }] : [];
  }

  private async store(sql: Sql, matches: readonly Match[]): Promise<void> {
    if (matches.length === 0) {
      return;
    }
    const column = (pick: (match: Match) => string): string[] => matches.map(pick);
    await sql(
      `insert into paper_trades (client_order_id, price, quantity, fee, at)
       select *, $5 from unnest($1::text[], $2::numeric[], $3::numeric[], $4::numeric[])`,
      [
        column(({ order }) => order.id),
        column(({ trade }) => trade.price),
        column(({ trade }) => trade.quantity),
        column(({ trade }) => trade.fee),
        new Date(),
      ],
    );
    await sql(
      `update paper_orders o set filled = o.filled + t.quantity,
         state = case when o.filled + t.quantity = o.quantity then 'filled' else o.state end
       from unnest($1::text[], $2::numeric[]) as t (id, quantity) where o.client_order_id = t.id`,
      [column(({ order }) => order.id), column(({ trade }) => trade.quantity)],
    );
  }

  private settle(matches: readonly Match[]): void {
    for (const { order, trade } of matches) {
      const filled = dec(order.filled).plus(trade.quantity);
      if (filled.gte(order.quantity)) {
        this.book.delete(order.id);
      } else {
        this.book.set(order.id, { ...order, filled: text(filled) });
      }
    }
  }
}

async function insertOrders(sql: Sql, orders: readonly PlaceOrder[]): Promise<string[]> {
  const rows = await sql<{ id: string }>(
    `insert into paper_orders (client_order_id, pair, side, price, quantity, state)
     select *, 'open' from unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::numeric[])
     on conflict (client_order_id) do nothing returning client_order_id as id`,
    [
      orders.map((order) => order.clientOrderId),
      orders.map((order) => order.pair),
      orders.map((order) => order.side),
      orders.map((order) => order.price),
      orders.map((order) => order.quantity),
    ],
  );
  return rows.map(({ id }) => id);
}
