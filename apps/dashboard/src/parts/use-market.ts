import type { Bot, MarketPair, Pair } from '#libs/contracts';
import { finestTick, multiply } from '../domain/money.js';
import { useQuery } from '@tanstack/react-query';
import { marketQuery } from '../api/queries.js';

/** Rules and newest price of a pair; undefined until the market is known. */
export function useMarketPair(pair: Pair | undefined): MarketPair | undefined {
  const { data } = useQuery(marketQuery());
  return data?.pairs.find((known) => known.pair === pair);
}

/**
 * The price beside a bot: of a stopped one the price it stopped at, else the newest of its pair. The bot's own is from
 * its last report, seconds older than the chart it would stand next to.
 */
export function usePriceOf(bot: Pick<Bot, 'pair' | 'price' | 'state'>): string | null {
  const market = useMarketPair(bot.pair);
  return bot.state === 'stopped' || bot.price === null ? bot.price : (market?.price ?? bot.price);
}

/** Ticks until the market is known: amounts are shown a moment earlier, and at worst with too many digits. */
export const FALLBACK_TICK = '0.01';

/**
 * Ticks at which no row of a ledger is rounded, whatever its pair: the rows one sees add up to the total one sees.
 * A value is price × quantity, a fee a fraction of that.
 */
export function useLedgerTicks(): { value: string; fee: string } {
  const { data } = useQuery(marketQuery());
  const pairs = data?.pairs ?? [];
  const values = pairs.map((pair) => multiply(pair.tick, pair.step));
  return {
    value: finestTick(values, FALLBACK_TICK),
    fee: finestTick(
      pairs.map((pair) => multiply(multiply(pair.tick, pair.step), pair.fee)),
      FALLBACK_TICK,
    ),
  };
}
