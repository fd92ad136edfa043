import type { BotLevel, Fill } from '#libs/contracts';
import type { ChartLevel } from '../charts/level-lines.js';
import { compare } from './money.js';

/** The levels of a chart must be positions; the one conversion is handed in from the charts' own place for it. */
export interface LevelPlacing {
  place: (price: string) => number;
  words: (price: string) => string;
}

export interface LadderExtras {
  price: string | null;
  stopLoss: string | null;
  takeProfit: string | null;
}

/** The next buy below and the next sell above the price: the two levels whose labels a person looks for. */
export function nextLevels(
  levels: readonly BotLevel[],
  price: string | null,
): { buy: string | null; sell: string | null } {
  let buy: string | null = null;
  let sell: string | null = null;
  for (const level of levels) {
    if (level.side === 'buy' && (buy === null || compare(level.price, buy) > 0)) {
      buy = price === null || compare(level.price, price) <= 0 ? level.price : buy;
    }
    if (level.side === 'sell' && (sell === null || compare(level.price, sell) < 0)) {
      sell = price === null || compare(level.price, price) >= 0 ? level.price : sell;
    }
  }
  return { buy, sell };
}

/** What the price chart draws of a bot: all levels as hairlines; labels on the bounds, the next levels and the exits. */
export function chartLevels(levels: readonly BotLevel[], extras: LadderExtras, placing: LevelPlacing): ChartLevel[] {
  const sorted = levels.toSorted((a, b) => compare(b.price, a.price));
  const next = nextLevels(levels, extras.price);
  const labelled = new Set([sorted[0]?.price, sorted.at(-1)?.price, next.buy, next.sell]);
  const lines: ChartLevel[] = sorted.map((level) => ({
    id: level.price,
    at: placing.place(level.price),
    kind: level.side,
    ...(labelled.has(level.price) ? { label: placing.words(level.price) } : {}),
  }));
  for (const [id, kind, price] of [
    ['stopLoss', 'stop', extras.stopLoss],
    ['takeProfit', 'target', extras.takeProfit],
  ] as const) {
    if (price !== null) {
      lines.push({ id, at: placing.place(price), kind, label: placing.words(price) });
    }
  }
  return lines;
}

/** Newest first in the API, oldest first on a chart. */
export function inOrder(fills: readonly Fill[]): Fill[] {
  return fills.toSorted((a, b) => a.at.localeCompare(b.at) || a.id.localeCompare(b.id));
}
