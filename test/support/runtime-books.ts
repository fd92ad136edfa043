import { dec, gridAccount, sum, text, type GridState } from '#libs/trading';
import type { TestStack } from './runtime.js';

interface OrderRow {
  id: string;
  bot_id: string;
  ref: number;
  client_order_id: string;
  side: 'buy' | 'sell';
  cell: number | null;
  price: string | null;
  quantity: string;
  filled: string;
  state: string;
}
interface FillRow {
  trade_id: string;
  bot_id: string;
  order_id: string;
  side: 'buy' | 'sell';
  price: string;
  quantity: string;
  fee: string;
}

/** Orders that are live at the exchange, in an order two runs can be compared by. */
export async function openBook(stack: TestStack): Promise<string[]> {
  const rows = await stack.sql<{ row: string }>(
    `select client_order_id || ' ' || side || ' ' || coalesce(price::text, 'market') || ' ' || quantity as row
     from paper_orders where state = 'open' order by 1`,
  );
  return rows.map(({ row }) => row);
}

/**
 * What must be true of a stack at rest, worked out from the exchange's own tables: every trade is booked once, every
 * order was meant once, and the money adds up.
 */
export async function checkBooks(stack: TestStack): Promise<{ fills: number; open: number }> {
  const [bots, orders, fills, paperOrders, trades] = await Promise.all([
    stack.sql<{ id: string; grid: GridState; params: { investment: string } }>(
      'select id, grid, params from bots where started_at is not null and stopped_at is null',
    ),
    stack.sql<OrderRow>('select * from orders'),
    stack.sql<FillRow>('select * from fills'),
    stack.sql<{ client_order_id: string; state: string; filled: string }>('select * from paper_orders'),
    stack.sql<{ id: string; client_order_id: string; quantity: string }>('select * from paper_trades'),
  ]);
  const byClientId = new Map(orders.map((order) => [order.client_order_id, order]));
  expect(byClientId.size).toBe(orders.length);
  // The exchange knows no order that was not written down first, and agrees on its end.
  for (const paper of paperOrders) {
    const order = byClientId.get(paper.client_order_id);
    expect([paper.client_order_id, order?.state]).toEqual([paper.client_order_id, paper.state]);
    expect(text(dec(order?.filled ?? 0))).toBe(text(dec(paper.filled)));
  }
  expect(orders.filter(({ state }) => state === 'pending')).toEqual([]);
  expect(paperOrders).toHaveLength(orders.filter(({ state }) => state !== 'rejected').length);
  // Each trade is booked exactly once.
  expect(fills.map((fill) => fill.trade_id).sort()).toEqual(trades.map((trade) => trade.id).sort());
  for (const bot of bots) {
    const mine = orders.filter((order) => order.bot_id === bot.id);
    const open = mine.filter(({ state }) => state === 'open');
    const cells = open.map(({ cell }) => cell);
    expect(new Set(cells).size).toBe(cells.length);
    const live = bot.grid.cells.flatMap((cell, i) => (cell.order ? [`${i} ${cell.order.ref} ${cell.order.side}`] : []));
    expect(open.map(({ cell, ref, side }) => `${cell ?? ''} ${ref} ${side}`).sort()).toEqual(live.sort());
    // Money and base currency follow from the trades alone.
    const own = fills.filter((fill) => fill.bot_id === bot.id);
    const cash = own.reduce((left, fill) => {
      const value = dec(fill.price).times(fill.quantity);
      return (fill.side === 'buy' ? left.minus(value) : left.plus(value)).minus(fill.fee);
    }, dec(bot.params.investment));
    expect(bot.grid.cash).toBe(text(cash));
    const signed = own.map((fill) => (fill.side === 'buy' ? dec(fill.quantity) : dec(fill.quantity).neg()));
    const account = gridAccount(bot.grid, '65000');
    expect(account.base).toBe(text(sum(signed)));
    expect(account.pnl.total).toBe(text(dec(account.equity).minus(bot.params.investment)));
    expect(bot.grid.fills).toBe(own.length);
  }
  await checkAssets(stack);
  return { fills: fills.length, open: paperOrders.filter(({ state }) => state === 'open').length };
}

/** What stopped bots left in the account, and what it was worth then, against their own last figures. */
async function checkAssets(stack: TestStack): Promise<void> {
  const [bots, assets] = await Promise.all([
    stack.sql<{ base: string; grid: GridState; price: string }>(
      `select split_part(pair, '/', 1) as base, grid, final_price as price from bots
       where started_at is not null and stopped_at is not null`,
    ),
    stack.sql<{ asset: string; amount: string; cost: string }>(`select * from assets where asset <> 'USDT'`),
  ]);
  for (const { asset, amount, cost } of assets) {
    const held = bots
      .filter(({ base }) => base === asset)
      .map(({ grid, price }) => ({ ...gridAccount(grid, price), price }));
    expect([asset, text(dec(amount))]).toEqual([asset, text(sum(held.map(({ base }) => base)))]);
    expect([asset, text(dec(cost))]).toEqual([asset, text(sum(held.map(({ base, price }) => dec(base).times(price))))]);
  }
}
