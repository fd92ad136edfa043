import { waitFor } from '#libs/async';
import { createBotSchema, DomainError, orderSchema, type Bot } from '#libs/contracts';
import { History } from '../../apps/runtime/src/account/history.js';
import { BotStore } from '../../apps/runtime/src/bots/bot-store.js';
import { Outbox, type OutboxDeps } from '../../apps/runtime/src/reports/outbox.js';
import { RuntimeParts } from '../support/runtime-parts.js';

let parts: RuntimeParts;
beforeEach(async () => {
  parts = await RuntimeParts.open();
}, 30_000);
afterEach(() => parts.close());

const sql = <T = Record<string, unknown>>(statement: string, values: unknown[] = []): Promise<T[]> =>
  parts.database.sql<T>(statement, values);
const pending = async (): Promise<number> => (await sql(`select 1 from orders where state = 'pending'`)).length;
const bot = (id: string): Bot => parts.bots.view(parts.bots.find(id).record);
const params = { lower: '60000', upper: '70000', grids: 10, investment: '1000', stopLoss: '58000' };
const create = async (start: boolean): Promise<string> =>
  (await parts.bots.create(createBotSchema.parse({ pair: 'BTC/USDT', params, start }))).bot.id;

/** Answers once with what is given and from then on as the exchange does. */
function once(trouble: NonNullable<RuntimeParts['exchange']['trouble']>): void {
  parts.exchange.trouble = (orders) => {
    parts.exchange.trouble = null;
    return trouble(orders);
  };
}

describe('orders that could not be sent once they were written down', () => {
  it.each(['PRICE_STALE', 'LOST_RACE'] as const)(
    'follow without a restart after %s, and the command is not refused',
    async (code) => {
      const id = await create(false);
      once(() => {
        throw new DomainError(code);
      });
      expect(await parts.bots.start(id)).toMatchObject({ state: 'running' });
      await waitFor(() => bot(id).openOrders.total === 10 || undefined, { what: 'the grid', deadlineMs: 5_000 });
      // The bot counts what it means to have; what is pending is not at the exchange yet.
      await waitFor(async () => (await pending()) === 0 || undefined, { what: 'the orders', deadlineMs: 5_000 });
      expect(await sql(`select 1 from paper_orders where state = 'open'`)).toHaveLength(10);
    },
  );

  it('follow also when the bot was made by the same request', async () => {
    once(() => {
      throw new DomainError('PRICE_STALE');
    });
    const id = await create(true);
    await waitFor(() => bot(id).openOrders.total === 10 || undefined, { what: 'the grid', deadlineMs: 5_000 });
    expect(await sql<{ amount: string }>(`select amount from assets where asset = 'USDT'`)).toEqual([
      { amount: '9000' },
    ]);
  });
});

it('counts what a start costs to the day it starts on', async () => {
  const id = await create(false);
  await sql(`update bots set day = jsonb_set(day, '{date}', '"2026-01-31"')`);
  await parts.restart();
  await parts.bots.start(id);
  parts.bots.saveFigures();
  await parts.bots.idle();
  const { today, pnl } = bot(id);
  expect(Number(pnl.total)).toBeLessThan(0);
  expect(today).toEqual(pnl);
});

describe('what is kept', () => {
  it('says when it last placed an order, also after a restart', async () => {
    const id = await create(false);
    expect(bot(id).lastOrderAt).toBeNull();
    await parts.bots.start(id);
    const at = bot(id).lastOrderAt;
    expect(await sql('select max(placed_at) as at from orders')).toEqual([{ at: new Date(at ?? 0) }]);
    await parts.restart();
    expect(bot(id).lastOrderAt).toBe(at);
  });

  it('is every trade and live order; events and orders without a trade go after 90 days', async () => {
    const id = await create(true);
    await parts.to('63900', '65100');
    await parts.bots.stop(id, 'keep');
    const other = await create(true);
    const store = new BotStore(parts.database);
    const count = async (of: string): Promise<number> => (await sql(`select 1 from ${of}`)).length;
    const cancelled = `orders where state = 'cancelled'`;
    const all = [await count('orders'), await count('paper_orders'), await count('events'), await count('fills')];
    const gone = await count(cancelled);
    expect(gone).toBeGreaterThan(5);
    await store.prune(new Date());
    expect([await count('orders'), await count('paper_orders'), await count('events')]).toEqual(all.slice(0, 3));
    await sql(
      `update orders set updated_at = updated_at - interval '91 days', placed_at = placed_at - interval '91 days'`,
    );
    await sql(`update paper_orders set created_at = created_at - interval '91 days'`);
    await sql(`update events set at = at - interval '91 days'`);
    await store.prune(new Date());
    expect(await count(cancelled)).toBe(0);
    expect(await count('orders')).toBe((all[0] ?? 0) - gone);
    expect(await count('paper_orders')).toBe((all[1] ?? 0) - gone);
    expect([await count('events'), await count('fills')]).toEqual([0, all[3]]);
    await parts.restart();
    await parts.bots.recover();
    expect(bot(other)).toMatchObject({ state: 'running', openOrders: { total: 10 } });
    expect(await sql(`select 1 from events where kind = 'order.lost'`)).toEqual([]);
  });
});

it('forgets reports that the portal refused long ago, and no others', async () => {
  await sql(`insert into outbox (id, kind, body, refused_at) values
    (gen_random_uuid(), 'event', '{"n": 1}', now() - interval '91 days'),
    (gen_random_uuid(), 'event', '{"n": 2}', now() - interval '89 days'), (gen_random_uuid(), 'event', '{"n": 3}', null)`);
  await new Outbox({ database: parts.database } as OutboxDeps).prune(new Date());
  expect(await sql(`select body ->> 'n' as n from outbox order by seq`)).toEqual([{ n: '2' }, { n: '3' }]);
});

describe('an order the exchange refuses', () => {
  it.each([
    [{ price: '63900.01' }, 'refusal.off_tick', { price: '63900.01', tick: '0.1' }],
    [{ quantity: '0.000015' }, 'refusal.off_step', { quantity: '0.000015', step: '0.00001' }],
    [{ quantity: '0.00001' }, 'refusal.below_minimum', { value: '0.6', minimum: '5' }],
  ])('says why in words and by code: %j', async (change, reasonCode, reasonParams) => {
    const id = await create(false);
    // What the exchange itself says of an order that breaks its rules, given to the bot for its first one.
    const said = await parts.exchange.place([
      { clientOrderId: 'x1', pair: 'BTC/USDT', side: 'buy', price: '60000', quantity: '0.001', ...change },
    ]);
    once((orders) => orders.map(({ clientOrderId }) => ({ clientOrderId, refusal: said[0]?.refusal ?? null })));
    await parts.bots.start(id);
    const { items } = await new History(parts.database).orders(id, { state: 'all', limit: 10 });
    expect(items[0]).toMatchObject({ state: 'rejected', reason: said[0]?.refusal?.text, reasonCode, reasonParams });
    expect(() => orderSchema.parse(items[0])).not.toThrow();
  });
});

describe('a bot that stopped by an error', () => {
  const protects = async (id: string): Promise<void> => {
    const orders = async (): Promise<number> => (await sql('select 1 from orders')).length;
    const before = await orders();
    const { fills } = bot(id);
    await parts.to('62500', '67500');
    // What was open is filled and counted; nothing takes its place.
    expect(bot(id).fills).toBeGreaterThan(fills);
    expect(await orders()).toBe(before);
    expect(bot(id).state).toBe('error');
  };

  it('keeps its stop-loss when the exchange refused an order', async () => {
    const id = await create(true);
    once((orders) => orders.map(({ clientOrderId }) => ({ clientOrderId, refusal: { text: 'market closed' } })));
    await parts.to('63900');
    expect(bot(id)).toMatchObject({
      state: 'error',
      reason: 'The exchange refused an order: market closed.',
      reasonCode: 'error.order_refused',
      reasonParams: { why: 'market closed' },
    });
    await protects(id);
    await parts.to('57900');
    expect(bot(id)).toMatchObject({ state: 'stopped', status: 'finished', holdings: { base: '0' } });
  });

  it('keeps its stop-loss after an unforeseen failure, and goes on when started again', async () => {
    const id = await create(true);
    once(() => {
      throw new Error('boom');
    });
    await parts.to('63900');
    const { state, reason, reasonCode, reasonParams } = bot(id);
    expect([state, reasonCode]).toEqual(['error', 'error.unforeseen']);
    // The log has what it was; a failed statement is nothing for the owner's eyes.
    expect(reasonParams).toEqual({ errorId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(reason).toContain(reasonParams?.['errorId']);
    const said = await sql('select text, params from events');
    expect(JSON.stringify([said, bot(id)])).not.toContain('boom');
    await protects(id);
    expect(await parts.bots.start(id)).toMatchObject({ state: 'running', reason: null, openOrders: { total: 10 } });
    await parts.to('57900');
    expect(bot(id)).toMatchObject({ state: 'stopped', status: 'finished', holdings: { base: '0' } });
  });
});

describe('when bot and exchange differ after a restart', () => {
  it('places anew what the exchange no longer knows or was told to cancel', async () => {
    const id = await create(true);
    const gone = await sql<{ id: string }>(
      `select client_order_id as id from paper_orders where state = 'open' order by price limit 2`,
    );
    await sql('delete from paper_orders where client_order_id = $1', [gone[0]?.id]);
    await sql(`update paper_orders set state = 'cancelled' where client_order_id = $1`, [gone[1]?.id]);
    await parts.restart();
    await parts.bots.recover();
    const open = await sql<{ price: string }>(`select price from paper_orders where state = 'open' order by price`);
    expect(open.slice(0, 2)).toEqual([{ price: '60000' }, { price: '61000' }]);
    expect(bot(id)).toMatchObject({ state: 'running', openOrders: { total: 10 } });
    const events = await sql(`select code, params, level from events where kind = 'order.lost'`);
    expect(events).toEqual([{ code: 'orders.lost', params: { count: '2' }, level: 'warn' }]);
    expect(await sql(`select text from events where kind = 'order.lost'`)).toEqual([
      { text: 'The exchange no longer had 2 orders of this bot; they are placed again when the bot trades' },
    ]);
  });

  it('books a trade it did not hear of before it believes an order lost', async () => {
    const id = await create(true);
    parts.prices.price = '63500';
    await parts.exchange.tick();
    await parts.restart();
    await parts.bots.recover();
    expect(await sql(`select 1 from events where kind = 'order.lost'`)).toEqual([]);
    expect(bot(id)).toMatchObject({ state: 'running', fills: 2, openOrders: { total: 10 } });
  });

  it('says so, once, and can still be stopped, when a trade belongs to no order it knows', async () => {
    const id = await create(true);
    const [trade] = await sql<{ id: string }>(
      `with o as (
         insert into orders (id, bot_id, ref, client_order_id, pair, side, type, purpose, price, quantity, state,
           placed_at, updated_at)
         select gen_random_uuid(), $1, 9999, 'avstray', 'BTC/USDT', 'buy', 'limit', 'grid', 100, 1, 'open', now(), now()
       ), p as (
         insert into paper_orders (client_order_id, pair, side, price, quantity, filled, state)
         values ('avstray', 'BTC/USDT', 'buy', 100, 1, 1, 'filled') returning client_order_id
       )
       insert into paper_trades (client_order_id, price, quantity, fee, at)
       select client_order_id, 100, 1, 0, now() from p returning id`,
      [id],
    );
    parts.bots.lookForTrades();
    await parts.bots.idle();
    await parts.to('64900', '64950');
    expect(bot(id)).toMatchObject({ state: 'error', reasonCode: 'error.trade_unknown' });
    expect(bot(id).reasonParams).toEqual({ trade: trade?.id });
    const told = () => sql(`select 1 from events where kind = 'bot.error'`);
    expect(await told()).toHaveLength(1);
    // Nothing mends it, so it stays told once: also when a person starts the bot again, and over a restart.
    expect(await parts.bots.start(id)).toMatchObject({ state: 'running' });
    await parts.restart();
    await parts.bots.recover();
    await parts.to('64900', '64950');
    expect(bot(id)).toMatchObject({ state: 'running', reason: null });
    expect(await told()).toHaveLength(1);
    expect(await parts.bots.stop(id, 'sell')).toMatchObject({ state: 'stopped', holdings: { base: '0' } });
  });
});
