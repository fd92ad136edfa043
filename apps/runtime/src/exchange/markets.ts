import type { Pair } from '#libs/contracts';
import type { MarketRules } from '#libs/trading';

export interface MarketSpec {
  pair: Pair;
  base: string;
  quote: string;
  rules: MarketRules;
  /** Where the simulated price begins. */
  start: string;
}

/** The paper exchange's pairs, with the sizes the large exchanges use for them. */
export const MARKETS: readonly MarketSpec[] = [
  {
    pair: 'BTC/USDT',
    base: 'BTC',
    quote: 'USDT',
    rules: { tick: '0.1', step: '0.00001', minNotional: '5', fee: '0.001' },
    start: '65000',
  },
  {
    pair: 'ETH/USDT',
    base: 'ETH',
    quote: 'USDT',
    rules: { tick: '0.01', step: '0.0001', minNotional: '5', fee: '0.001' },
    start: '3100',
  },
];

export function marketOf(pair: Pair): MarketSpec {
  const market = MARKETS.find((candidate) => candidate.pair === pair);
  if (!market) {
    throw new Error(`unknown pair ${pair}`);
  }
  return market;
}
