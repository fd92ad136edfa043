import { dec, gridAccount, sum, text, type GridState } from '#libs/trading';
import { createLogger } from '#libs/telemetry';
import { ledgerFaults as toldFaults } from '../../apps/runtime/src/account/ledger.js';
import { Database } from '../../apps/runtime/src/database/database.js';
import type { TestStack } from './runtime.js';

/** A stack's books in one statement and so of one moment; amounts as text, since JSON's numbers are none. */
export const LEDGER = `select json_build_object(
  'bots', (select coalesce(json_agg(json_build_object('id', id, 'base', split_part(pair, '/', 1), 'grid', grid,
      'investment', params->>'investment', 'stopped', stopped_at is not null, 'price', final_price::text)), '[]')
    from bots where started_at is not null),
  'orders', (select coalesce(json_agg(json_build_object('bot', bot_id, 'ref', ref, 'client', client_order_id, 'side', side,
      'cell', cell, 'filled', filled::text, 'state', state)), '[]') from orders),
  'fills', (select coalesce(json_agg(json_build_object('trade', trade_id, 'bot', bot_id, 'side', side, 'price', price::text,
      'quantity', quantity::text, 'fee', fee::text)), '[]') from fills),
  'taken', (select coalesce(json_agg(json_build_object('client', client_order_id, 'state', state, 'filled', filled::text)), '[]')
    from paper_orders),
  'traded', (select coalesce(json_agg(id), '[]') from paper_trades),
  'assets', (select coalesce(json_agg(json_build_object('asset', asset, 'amount', amount::text, 'cost', cost::text)), '[]')
    from assets where asset <> 'USDT')) as ledger`;

export interface Ledger {
  bots: { id: string; base: string; grid: GridState; investment: string; stopped: boolean; price: string | null }[];
  orders: {
    bot: string;
    ref: number;
    client: string;
    side: 'buy' | 'sell';
    cell: number | null;
    filled: string;
    state: string;
  }[];
  fills: { trade: string; bot: string; side: 'buy' | 'sell'; price: string; quantity: string; fee: string }[];
  /** The simulated exchange's own orders, and the numbers of its trades. */
  taken: { client: string; state: string; filled: string }[];
  traded: string[];
  /** What stopped bots left in the account. */
  assets: { asset: string; amount: string; cost: string }[];
}

/** Orders that are live at the exchange, in an order two runs can be compared by. */
export async function openBook(stack: TestStack): Promise<string[]> {
  const rows = await stack.sql<{ row: string }>(
    `select client_order_id || ' ' || side || ' ' || coalesce(price::text, 'market') || ' ' || quantity as row
     from paper_orders where state = 'open' order by 1`,
  );
  return rows.map(({ row }) => row);
}

/** Fails unless the books of a stack at rest are right. */
export async function checkBooks(stack: TestStack): Promise<{ fills: number; open: number }> {
  const [row] = await stack.sql<{ ledger: Ledger }>(LEDGER);
  if (!row) {
    throw new Error('the books were not read');
  }
  expect(ledgerFaults(row.ledger)).toEqual([]);
  // What the runtime itself would say of them.
  const verify = (): Promise<void> => Promise.resolve();
  const database = new Database({ ...stack.database, logger: createLogger('runtime', 'silent'), verify });
  try {
    expect(await toldFaults(database)).toEqual([]);
  } finally {
    await database.close();
  }
  const { fills, taken } = row.ledger;
  return { fills: fills.length, open: taken.filter(({ state }) => state === 'open').length };
}

/**
 * What must be true of a stack at rest and is not, worked out from the exchange's own tables: every trade is booked
 * once, every order was meant once, and the money adds up.
 */
export function ledgerFaults(ledger: Ledger): string[] {
  const { bots, orders, fills, taken, traded } = ledger;
  const faults: string[] = [];
  const same = (what: string, booked: unknown, right: unknown): void => {
    const [a, b] = [JSON.stringify(booked), JSON.stringify(right)];
    if (a !== b) {
      faults.push(`${what}: booked ${a}, right is ${b}`);
    }
  };
  const byClient = new Map(orders.map((order) => [order.client, order]));
  same('orders of different names', orders.length, byClient.size);
  // The exchange knows no order that was not written down first, and agrees on its end.
  for (const { client, state, filled } of taken) {
    const order = byClient.get(client);
    same(`order ${client}`, [order?.state, text(dec(order?.filled ?? 0))], [state, text(dec(filled))]);
  }
  const inState = (wanted: string): string[] =>
    orders.filter(({ state }) => state === wanted).map(({ client }) => client);
  same('orders nobody knows the end of', inState('pending'), []);
  same('orders the exchange took', orders.length - inState('rejected').length, taken.length);
  // Each trade is booked exactly once.
  same('trades', fills.map(({ trade }) => trade).toSorted(), traded.toSorted());
  for (const bot of bots.filter(({ stopped }) => !stopped)) {
    const open = orders.filter(({ bot: id, state }) => id === bot.id && state === 'open');
    const cells = open.map(({ cell }) => cell);
    same(`${bot.id}: cells with an open order`, cells.length, new Set(cells).size);
    const live = bot.grid.cells.flatMap((cell, i) => (cell.order ? [`${i} ${cell.order.ref} ${cell.order.side}`] : []));
    same(
      `${bot.id}: open orders`,
      live.toSorted(),
      open.map(({ cell, ref, side }) => `${cell ?? ''} ${ref} ${side}`).toSorted(),
    );
    // Money and base currency follow from the trades alone.
    const own = fills.filter((fill) => fill.bot === bot.id);
    const cash = own.reduce((left, fill) => {
      const value = dec(fill.price).times(fill.quantity);
      return (fill.side === 'buy' ? left.minus(value) : left.plus(value)).minus(fill.fee);
    }, dec(bot.investment));
    same(`${bot.id}: cash`, bot.grid.cash, text(cash));
    const signed = own.map((fill) => (fill.side === 'buy' ? dec(fill.quantity) : dec(fill.quantity).neg()));
    const account = gridAccount(bot.grid, '65000');
    same(`${bot.id}: base currency`, account.base, text(sum(signed)));
    same(`${bot.id}: profit`, account.pnl.total, text(dec(account.equity).minus(bot.investment)));
    same(`${bot.id}: fills`, bot.grid.fills, own.length);
  }
  // What stopped bots left in the account, and what it was worth then, against their own last figures.
  const stopped = bots.filter((bot) => bot.stopped);
  for (const { asset, amount, cost } of ledger.assets) {
    const held = stopped
      .filter(({ base }) => base === asset)
      .map(({ grid, price }) => ({ ...gridAccount(grid, price ?? '0'), price: price ?? '0' }));
    same(`${asset} in the account`, text(dec(amount)), text(sum(held.map(({ base }) => base))));
    same(`${asset}: its cost`, text(dec(cost)), text(sum(held.map(({ base, price }) => dec(base).times(price)))));
  }
  return faults;
}
