import type { MarketPair, Pair } from '#libs/contracts';
import { useQuery } from '@tanstack/react-query';
import { marketQuery } from '../api/queries.js';

/** Rules and newest price of a pair; undefined until the market is known. */
export function useMarketPair(pair: Pair | undefined): MarketPair | undefined {
  const { data } = useQuery(marketQuery());
  return data?.pairs.find((known) => known.pair === pair);
}

/** Ticks until the market is known: amounts are shown a moment earlier, and at worst with too many digits. */
export const FALLBACK_TICK = '0.01';
