import type { Decimal } from 'decimal.js';
import { dec, Dec, type Amount } from './decimal.js';
import { roundPrice } from './market.js';

export interface GridShape {
  lower: Amount;
  upper: Amount;
  grids: number;
  mode: 'arith' | 'geo';
}

/** Prices p_0 … p_n before rounding: equal steps (arith) or equal ratios (geo). */
export function exactLevels({ lower, upper, grids, mode }: GridShape): Decimal[] {
  const low = dec(lower);
  const high = dec(upper);
  // One root, then a running product: a root or a power for each of 200 levels takes longer than the whole preview
  // may, and of 50 digits 200 products cost the last two.
  const ratio = mode === 'geo' ? Dec.pow(high.div(low), dec(1).div(grids)) : dec(1);
  const width = high.minus(low);
  let product = low;
  const next = (i: number): Decimal => {
    product = product.times(ratio);
    return mode === 'arith' ? low.plus(width.times(i).div(grids)) : product;
  };
  return Array.from({ length: grids + 1 }, (_, i) => (i === 0 ? low : i === grids ? high : next(i)));
}

/** The levels a bot trades at: on the tick. They may coincide when the tick is coarse; `gridProblems` refuses that. */
export function gridLevels(shape: GridShape, tick: Amount): Decimal[] {
  return exactLevels(shape).map((price) => roundPrice(price, tick));
}

/** Net profit of one cell as a fraction of what its purchase costs: (s(1−f) − b(1+f)) / (b(1+f)). */
export function cellProfit(buy: Decimal, sell: Decimal, fee: Amount): Decimal {
  const cost = buy.times(dec(1).plus(fee));
  return sell.times(dec(1).minus(fee)).minus(cost).div(cost);
}
