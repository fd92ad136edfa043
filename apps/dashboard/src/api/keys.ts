import type { CandleInterval, Pair } from '#libs/contracts';

export interface TradeFilter {
  bot?: string | undefined;
  pair?: Pair | undefined;
  side?: 'buy' | 'sell' | undefined;
  /** ISO times in UTC; the end is exclusive. */
  from?: string | undefined;
  to?: string | undefined;
}
export type EquityRange = '1D' | '1W' | '1M' | 'All';

/** Names of everything the cache holds; the live stream patches by the same names. */
export const keys = {
  me: ['me'],
  overview: ['overview'],
  market: ['market'],
  bots: ['bots'],
  tokens: ['tokens'],
  bot: (id: string) => ['bot', id, 'self'],
  orders: (id: string, state: 'open' | 'all') => ['bot', id, 'orders', state],
  fills: (id: string) => ['bot', id, 'fills'],
  events: (id: string) => ['bot', id, 'events'],
  equity: (botId: string | null, range: EquityRange) => ['equity', botId ?? 'account', range],
  candles: (pair: Pair, interval: CandleInterval) => ['candles', pair, interval],
  trades: (filter: TradeFilter) => ['trades', filter],
} as const;
