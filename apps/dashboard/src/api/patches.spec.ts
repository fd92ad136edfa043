import type { Bot, Candles, EquitySeries, Fill, Order, Overview } from '#libs/contracts';
import {
  withBot,
  withEntry,
  withEquity,
  withLastFill,
  withOpenOrder,
  withTick,
  withoutBot,
  type Pages,
} from './patches.js';

const bot = (id: string, name = id) => ({ id, name }) as Bot;
const order = (id: string, state: Order['state']) => ({ id, state }) as Order;
const pagesOf = <T>(...pages: T[][]): Pages<T> => ({
  pages: pages.map((items) => ({ items, next: null })),
  pageParams: pages.map(() => null),
});
const ids = <T extends { id: string }>(data: Pages<T>) => data.pages.map((page) => page.items.map((item) => item.id));

describe('messages of the stream', () => {
  it('replaces a known bot in place, puts a new one first and takes a deleted one out', () => {
    const list = { items: [bot('a'), bot('b')], limit: 5 };
    expect(withBot(list, bot('b', 'renamed')).items.map((item) => item.name)).toEqual(['a', 'renamed']);
    expect(withBot(list, bot('c')).items.map((item) => item.id)).toEqual(['c', 'a', 'b']);
    expect(withoutBot(list, 'a').items.map((item) => item.id)).toEqual(['b']);
  });

  it('adds an entry once, wherever it is known', () => {
    const data = pagesOf([{ id: '3' }, { id: '2' }], [{ id: '1' }]);
    expect(ids(withEntry(data, { id: '4' }))).toEqual([['4', '3', '2'], ['1']]);
    expect(ids(withEntry(data, { id: '1' }))).toEqual([['3', '2'], ['1']]);
  });

  it('lets a filled or cancelled order leave the open ones', () => {
    const data = pagesOf([order('1', 'open'), order('2', 'open')]);
    expect(ids(withOpenOrder(data, order('1', 'filled')))).toEqual([['2']]);
    expect(ids(withOpenOrder(data, order('2', 'cancelled')))).toEqual([['1']]);
    expect(ids(withOpenOrder(data, order('3', 'pending')))).toEqual([['3', '1', '2']]);
    expect(ids(withOpenOrder(data, order('9', 'filled')))).toEqual([['1', '2']]);
  });

  it('keeps the ten newest fills on the home page, each once', () => {
    const fills = Array.from({ length: 10 }, (_, index) => ({ id: String(index) }) as Fill);
    const overview = { lastFills: fills } as Overview;
    const next = withLastFill(overview, { id: 'new' } as Fill).lastFills;
    expect(next).toHaveLength(10);
    expect(next[0]?.id).toBe('new');
    expect(withLastFill(overview, { id: '3' } as Fill)).toBe(overview);
  });
});

describe('a price on the candles', () => {
  const candles: Candles = {
    pair: 'BTC/USDT',
    interval: '1m',
    items: [{ at: '2026-11-21T14:00:00.000Z', open: '100', high: '101', low: '99.5', close: '100.5' }],
  };

  it('moves the last candle, comparing as numbers and not as text', () => {
    const moved = withTick(candles, { pair: 'BTC/USDT', price: '1000', at: '2026-11-21T14:00:59.999Z' });
    expect(moved.items).toEqual([
      { at: '2026-11-21T14:00:00.000Z', open: '100', high: '1000', low: '99.5', close: '1000' },
    ]);
  });

  it('opens the next candle on its minute', () => {
    const next = withTick(candles, { pair: 'BTC/USDT', price: '98', at: '2026-11-21T14:01:30.000Z' });
    expect(next.items.at(-1)).toEqual({
      at: '2026-11-21T14:01:00.000Z',
      open: '98',
      high: '98',
      low: '98',
      close: '98',
    });
    expect(next.items).toHaveLength(2);
  });

  it('ignores another pair and a price from before', () => {
    expect(withTick(candles, { pair: 'ETH/USDT', price: '1', at: '2026-11-21T14:00:30.000Z' })).toBe(candles);
    expect(withTick(candles, { pair: 'BTC/USDT', price: '1', at: '2026-11-21T13:59:30.000Z' })).toBe(candles);
  });
});

describe('a live value on the equity curve', () => {
  const series: EquitySeries = {
    range: '1D',
    maxDrawdown: '0',
    points: [
      { at: '2026-11-21T14:00:00.000Z', equity: '100' },
      { at: '2026-11-21T14:00:05.000Z', equity: '101' },
    ],
  };

  it('moves the newest point until it is ten seconds from the one before', () => {
    expect(withEquity(series, '2026-11-21T14:00:06.000Z', '102').points).toEqual([
      series.points[0],
      { at: '2026-11-21T14:00:06.000Z', equity: '102' },
    ]);
    expect(withEquity(series, '2026-11-21T14:00:11.000Z', '103').points).toHaveLength(3);
    expect(withEquity({ ...series, points: [] }, '2026-11-21T14:00:11.000Z', '103').points).toHaveLength(1);
  });

  it('never goes back in time', () => {
    expect(withEquity(series, '2026-11-21T13:00:00.000Z', '90')).toBe(series);
  });
});
