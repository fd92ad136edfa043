import type { Fill, TradeList } from '#libs/contracts';
import { InfiniteQueryObserver, QueryClient } from '@tanstack/react-query';
import { keys } from './keys.js';
import { HANDLERS } from './live.js';

const BOT = '00000000-0000-4000-8000-000000000001';

function fill(id: number): Fill {
  return {
    id: String(id),
    botId: BOT,
    botName: 'Grid',
    orderId: BOT,
    pair: 'BTC/USDT',
    side: 'buy',
    purpose: 'grid',
    cell: 1,
    price: '65000',
    quantity: '0.001',
    value: '65',
    fee: '0.065',
    cellProfit: null,
    at: '2026-11-21T14:02:11.000Z',
  };
}

/** Somebody looks at Trades: how often it is read. */
function watchedTrades(client: QueryClient): () => number {
  let reads = 0;
  const page: TradeList = {
    items: [],
    next: null,
    totals: { count: 0, bought: '0', sold: '0', fees: '0', cellProfit: '0' },
  };
  new InfiniteQueryObserver(client, {
    queryKey: keys.trades({}),
    queryFn: () => {
      reads += 1;
      return Promise.resolve(page);
    },
    initialPageParam: null,
    getNextPageParam: () => null,
  }).subscribe(() => undefined);
  return () => reads;
}

describe('fills', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('have Trades read again soon, and at most every five seconds however many come', async () => {
    const client = new QueryClient();
    const reads = watchedTrades(client);
    await jest.advanceTimersByTimeAsync(1000);
    expect(reads()).toBe(1);
    HANDLERS.fill(client, fill(0));
    await jest.advanceTimersByTimeAsync(100);
    expect(reads()).toBe(2);
    for (let at = 1; at <= 40; at += 1) {
      HANDLERS.fill(client, fill(at));
      HANDLERS.fill(client, fill(at + 1000));
      await jest.advanceTimersByTimeAsync(250);
    }
    // ten seconds of fills: two more
    expect(reads()).toBe(4);
    // the last of them is not forgotten
    HANDLERS.fill(client, fill(41));
    await jest.advanceTimersByTimeAsync(5000);
    expect(reads()).toBe(5);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(reads()).toBe(5);
    client.clear();
  });
});
