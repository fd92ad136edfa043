import type {
  Bot,
  BotList,
  Candle,
  CandleInterval,
  Candles,
  EquitySeries,
  Fill,
  Market,
  Order,
  Overview,
  StreamData,
} from '#libs/contracts';
import type { InfiniteData } from '@tanstack/react-query';
import { compare } from '../domain/money.js';

/** How one message of the stream changes what the cache holds. Pure: the same message twice changes nothing more. */

export function withBot(list: BotList, bot: Bot): BotList {
  const known = list.items.some((item) => item.id === bot.id);
  const items = known ? list.items.map((item) => (item.id === bot.id ? bot : item)) : [bot, ...list.items];
  return { ...list, items };
}

export function withoutBot(list: BotList, id: string): BotList {
  return { ...list, items: list.items.filter((item) => item.id !== id) };
}

const LAST_FILLS = 10;

export function withOverview(old: Overview, data: StreamData<'overview'>): Overview {
  return { ...old, ...data };
}

export function withLastFill(old: Overview, fill: Fill): Overview {
  if (old.lastFills.some((known) => known.id === fill.id)) {
    return old;
  }
  return { ...old, lastFills: [fill, ...old.lastFills].slice(0, LAST_FILLS) };
}

interface Page<T> {
  items: T[];
  next: string | null;
}
export type Pages<T> = InfiniteData<Page<T>, string | null>;

/** A new entry on top of the newest page; an entry that is known is replaced where it stands. */
export function withEntry<T extends { id: string }>(data: Pages<T>, entry: T): Pages<T> {
  const known = data.pages.some((page) => page.items.some((item) => item.id === entry.id));
  const pages = data.pages.map((page, index) => {
    if (known) {
      return { ...page, items: page.items.map((item) => (item.id === entry.id ? entry : item)) };
    }
    return index === 0 ? { ...page, items: [entry, ...page.items] } : page;
  });
  return { ...data, pages };
}

const OPEN_STATES: ReadonlySet<string> = new Set(['pending', 'open']);

/** The list of open orders: a finished one leaves it. */
export function withOpenOrder(data: Pages<Order>, order: Order): Pages<Order> {
  if (OPEN_STATES.has(order.state)) {
    return withEntry(data, order);
  }
  const pages = data.pages.map((page) => ({ ...page, items: page.items.filter((item) => item.id !== order.id) }));
  return { ...data, pages };
}

export function withPrice(market: Market, data: StreamData<'price'>): Market {
  const pairs = market.pairs.map((pair) =>
    pair.pair === data.pair ? { ...pair, price: data.price, priceAt: data.at, fresh: true } : pair,
  );
  return { ...market, pairs };
}

const SECONDS: Record<CandleInterval, number> = { '1m': 60, '5m': 300, '1h': 3600, '1D': 86_400 };

/** The last candle follows the price; a price beyond its end opens the next one. */
export function withTick(candles: Candles, data: StreamData<'price'>): Candles {
  const last = candles.items.at(-1);
  if (candles.pair !== data.pair || last === undefined) {
    return candles;
  }
  const width = SECONDS[candles.interval] * 1000;
  const start = Math.floor(Date.parse(data.at) / width) * width;
  const lastStart = Date.parse(last.at);
  if (start < lastStart) {
    return candles;
  }
  if (start > lastStart) {
    const price = data.price;
    const opened: Candle = { at: new Date(start).toISOString(), open: price, high: price, low: price, close: price };
    return { ...candles, items: [...candles.items, opened] };
  }
  const moved: Candle = {
    ...last,
    high: compare(data.price, last.high) > 0 ? data.price : last.high,
    low: compare(data.price, last.low) < 0 ? data.price : last.low,
    close: data.price,
  };
  return { ...candles, items: [...candles.items.slice(0, -1), moved] };
}

/** Points of one series lie at least this far apart on the live end, so that a day of watching stays drawable. */
const EQUITY_SPACING_MS = 10_000;

/** The newest point moves with the live value until it is old enough to stay. */
export function withEquity(series: EquitySeries, at: string, equity: string): EquitySeries {
  const last = series.points.at(-1);
  const before = series.points.at(-2);
  if (last !== undefined && Date.parse(at) < Date.parse(last.at)) {
    return series;
  }
  const replace =
    last !== undefined && before !== undefined && Date.parse(at) - Date.parse(before.at) < EQUITY_SPACING_MS;
  const kept = replace ? series.points.slice(0, -1) : series.points;
  return { ...series, points: [...kept, { at, equity }] };
}
