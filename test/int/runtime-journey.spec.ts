import { waitFor } from '#libs/async';
import type {
  Bot,
  BotEventList,
  BotList,
  EquitySeries,
  FillList,
  Market,
  OrderList,
  Overview,
  TradeList,
} from '#libs/contracts';
import {
  botSchema,
  candlesSchema,
  equitySeriesSchema,
  marketSchema,
  overviewSchema,
  runtimeMeSchema,
  tradeListSchema,
} from '#libs/contracts';
import { dec, presetParams, sum, text } from '#libs/trading';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';
import { checkBooks, openBook } from '../support/runtime-books.js';

// What waits for the market to move has a deadline of its own; a shorter one around it would only hide which.
jest.setTimeout(60_000);

const redis = new TestRedis();
let stack: TestStack;
let runtime: RuntimeProcess;

beforeAll(async () => {
  await redis.start();
  stack = await TestStack.create({ redis });
  await stack.provision({ tickMs: 20, partialChance: 0.3 });
  runtime = await stack.startReady();
}, 60_000);
afterAll(async () => {
  await stack?.close();
  await redis.close();
}, 20_000);

async function newBot(runtime: RuntimeProcess, change: Record<string, unknown> = {}): Promise<Bot> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const market = pairs.find(({ pair }) => pair === 'BTC/USDT');
  if (!market) {
    throw new Error('no market');
  }
  const params = { ...presetParams('narrow', market, market.price, '1000'), ...change };
  return runtime.call<Bot>('POST', '/bots', { pair: market.pair, params, name: 'First' });
}
const fills = (id: string): Promise<FillList> => runtime.call('GET', `/bots/${id}/fills?limit=200`);

describe('a bot from creation to deletion', () => {
  let bot: Bot;

  it('is created idle and started with one order in every cell', async () => {
    bot = await newBot(runtime);
    expect(botSchema.parse(bot)).toMatchObject({ state: 'created', status: 'created', openOrders: { total: 0 } });
    bot = await runtime.call<Bot>('POST', `/bots/${bot.id}/start`);
    expect(bot).toMatchObject({ state: 'running', openOrders: { total: 10 } });
    const orders = await runtime.call<OrderList>('GET', `/bots/${bot.id}/orders`);
    expect(orders.items).toHaveLength(10);
    expect(new Set(orders.items.map(({ state }) => state))).toEqual(new Set(['open']));
    const overview = await runtime.call<Overview>('GET', '/overview');
    expect(overview.free).toBe('9000');
    expect(overview.bots).toEqual({ total: 1, running: 1, limit: 5 });
  });

  it('trades, closes cells and says so in plain words', async () => {
    bot = await waitFor(
      async () => {
        const now = await runtime.call<Bot>('GET', `/bots/${bot.id}`);
        return now.cellsClosed >= 3 ? now : undefined;
      },
      { what: 'three closed cells', deadlineMs: 30_000 },
    );
    expect(dec(bot.pnl.grid).gt(0)).toBe(true);
    const { items } = await runtime.call<BotEventList>('GET', `/bots/${bot.id}/events?limit=200`);
    expect(items.some(({ text: line }) => /^Sold [\d.]+ BTC at [\d.]+, cell \+\d+\.\d\d net$/.test(line))).toBe(true);
    expect(items.at(-1)?.text).toBe('Created');
  });

  it('keeps its figures equal to their parts and its equity conserved', async () => {
    const overview = overviewSchema.parse(await runtime.call('GET', '/overview'));
    for (const pnl of [overview.allTime, overview.today, bot.pnl, bot.today]) {
      expect(pnl.total).toBe(text(sum([pnl.grid, pnl.unrealised, pnl.otherFees])));
    }
    expect(overview.equity).toBe(text(dec(overview.deposit).plus(overview.allTime.total)));
  });

  it('places nothing while paused and goes on when resumed', async () => {
    expect(await runtime.call('POST', `/bots/${bot.id}/pause`)).toMatchObject({ state: 'paused', status: 'paused' });
    const placed = (await stack.sql('select 1 from orders')).length;
    const before = (await fills(bot.id)).items.length;
    // Open orders stay, so fills may come; orders may not.
    await waitFor(async () => (await openBook(stack)).length < 10 || undefined, { what: 'a fill', deadlineMs: 30_000 });
    expect(await stack.sql('select 1 from orders')).toHaveLength(placed);
    expect(await runtime.call('POST', `/bots/${bot.id}/pause`)).toMatchObject({ state: 'paused' });
    expect(await runtime.call('POST', `/bots/${bot.id}/resume`)).toMatchObject({ state: 'running' });
    await waitFor(async () => (await fills(bot.id)).items.length > before || undefined, {
      what: 'another fill',
      deadlineMs: 30_000,
    });
  });

  it('stops with everything cancelled and sold, and gives the money back', async () => {
    bot = await runtime.call<Bot>('POST', `/bots/${bot.id}/stop`, { onExit: 'sell' });
    expect(bot).toMatchObject({ state: 'stopped', status: 'stopped', openOrders: { total: 0 } });
    expect(bot.holdings.base).toBe('0');
    expect(await openBook(stack)).toEqual([]);
    const overview = await runtime.call<Overview>('GET', '/overview');
    expect(overview.free).toBe(text(dec(10_000).plus(bot.pnl.total)));
    expect(overview.equity).toBe(overview.free);
    expect(overview.allTime).toEqual(bot.pnl);
    await checkBooks(stack);
  });

  it('is deleted, and its result stays in the totals', async () => {
    const before = await runtime.call<Overview>('GET', '/overview');
    expect((await runtime.request('DELETE', `/api/v1/bots/${bot.id}`)).status).toBe(204);
    expect((await runtime.call<BotList>('GET', '/bots')).items).toEqual([]);
    expect((await runtime.request('GET', `/api/v1/bots/${bot.id}`)).status).toBe(404);
    const after = await runtime.call<Overview>('GET', '/overview');
    expect([after.equity, after.allTime]).toEqual([before.equity, before.allTime]);
  });

  it('lists its trades in pages whose rows add up to the totals, and exports them', async () => {
    const rows: TradeList['items'] = [];
    let cursor: string | null = '';
    let totals: TradeList['totals'] | undefined;
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const page: TradeList = tradeListSchema.parse(await runtime.call('GET', `/trades?bot=${bot.id}&limit=7${query}`));
      rows.push(...page.items);
      totals = page.totals;
      cursor = page.next;
    }
    expect(totals?.count).toBe(rows.length);
    expect(totals?.fees).toBe(text(sum(rows.map(({ fee }) => fee))));
    expect(totals?.cellProfit).toBe(text(sum(rows.map(({ cellProfit }) => cellProfit ?? '0'))));
    expect(totals?.bought).toBe(text(sum(rows.filter(({ side }) => side === 'buy').map(({ value }) => value))));
    const csv = await runtime.request<string>('GET', `/api/v1/trades.csv?bot=${bot.id}`);
    expect(csv.headers.get('content-disposition')).toContain('attachment');
    expect(csv.body.trim().split('\n')).toHaveLength(rows.length + 1);
  });
});

describe('a bot that keeps its base currency', () => {
  it('leaves it in the account, where its price goes on counting', async () => {
    const bot = await newBot(runtime);
    await runtime.call('POST', `/bots/${bot.id}/start`);
    const stopped = await runtime.call<Bot>('POST', `/bots/${bot.id}/stop`, { onExit: 'keep' });
    expect(dec(stopped.holdings.base).gt(0)).toBe(true);
    const overview = await runtime.call<Overview>('GET', '/overview');
    expect(overview.balances.find(({ asset }) => asset === 'BTC')?.amount).toBe(stopped.holdings.base);
    expect(overview.equity).toBe(text(dec(overview.deposit).plus(overview.allTime.total)));
  });
});

describe('a stop-loss', () => {
  it('finishes the bot by its rule, which is no error', async () => {
    const { pairs } = await runtime.call<Market>('GET', '/market');
    const price = pairs.find(({ pair }) => pair === 'ETH/USDT')?.price ?? '0';
    const at = (factor: string): string => dec(price).times(factor).toDecimalPlaces(2).toFixed();
    const params = { lower: at('0.9995'), upper: at('1.05'), grids: 8, investment: '500', stopLoss: at('0.998') };
    const bot = await runtime.call<Bot>('POST', '/bots', { pair: 'ETH/USDT', params, start: true });
    const ended = await waitFor(
      async () => {
        const now = await runtime.call<Bot>('GET', `/bots/${bot.id}`);
        return now.state === 'running' ? undefined : now;
      },
      { what: 'the stop-loss', deadlineMs: 40_000 },
    );
    expect(ended).toMatchObject({ state: 'stopped', status: 'finished', holdings: { base: '0' } });
    expect(ended.reason).toMatch(/^Finished: stop-loss at /);
    await checkBooks(stack);
  });
});

describe('figures of the market', () => {
  it('has candles in every width, with a past, and prices that are fresh', async () => {
    expect(marketSchema.parse(await runtime.call('GET', '/market')).pairs.map(({ fresh }) => fresh)).toEqual([
      true,
      true,
    ]);
    const least = { '1m': 290, '5m': 280, '1h': 160, '1D': 7 };
    await waitFor(
      async () => {
        for (const [interval, count] of Object.entries(least)) {
          const path = `/market/candles?pair=BTC%2FUSDT&interval=${interval}`;
          const { items } = candlesSchema.parse(await runtime.call('GET', path));
          expect(items.length).toBeGreaterThanOrEqual(count);
          expect(items.every(({ low, high, open, close }) => dec(low).lte(open) && dec(high).gte(close))).toBe(true);
          const times = items.map(({ at }) => at);
          expect([...new Set(times)].sort()).toEqual(times);
        }
        return true;
      },
      { what: 'candles', deadlineMs: 15_000 },
    );
  });

  it('has an equity line and knows who asks', async () => {
    const series = equitySeriesSchema.parse(await runtime.call<EquitySeries>('GET', '/equity?range=1W'));
    expect(series.points.length).toBeGreaterThanOrEqual(1);
    expect(runtimeMeSchema.parse(await runtime.call('GET', '/me'))).toMatchObject({
      kind: 'person',
      name: 'ana',
      role: 'owner',
      mayTrade: true,
      slug: stack.spec.slug,
    });
  });
});
