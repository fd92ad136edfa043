import { dec, text, type Amount } from './decimal.js';
import { floorQuantity, type MarketRules, type Side } from './market.js';
import { randomOf } from './random.js';

/** An order of the paper exchange's book. `price` is null for a market order. */
export interface PaperOrder {
  id: string;
  side: Side;
  price: Amount | null;
  quantity: Amount;
  filled: Amount;
}

export interface PaperTrade {
  orderId: string;
  price: Amount;
  quantity: Amount;
  /** Quote currency. */
  fee: Amount;
}

export interface PaperMarket {
  rules: MarketRules;
  /** Seed of the partial fills, and the chance of one in [0, 1]. */
  seed: number;
  partialChance: number;
}

/** True when the price reached this order. */
export function crosses(order: Pick<PaperOrder, 'side' | 'price'>, price: Amount): boolean {
  if (order.price === null) {
    return true;
  }
  return order.side === 'buy' ? dec(price).lte(order.price) : dec(price).gte(order.price);
}

/**
 * The trade an order gets at a price, or null. A resting order trades at its own price; one that is marketable when
 * it arrives, whole and at the present one, which is never worse. Now and then only a part of a resting one is filled;
 * the rest stays and may fill at the next step. `key` names the step, so the same step always gives the same trade.
 */
export function matchOrder(
  order: PaperOrder,
  at: { price: Amount; key: string; arriving: boolean },
  market: PaperMarket,
): PaperTrade | null {
  const remaining = dec(order.quantity).minus(order.filled);
  if (!remaining.gt(0) || !crosses(order, at.price)) {
    return null;
  }
  const key = `${order.id}/${order.filled}/${at.key}`;
  // A part left over of an order that takes at once would rest at a price worse than the one it came for.
  const partial = order.price !== null && !at.arriving && randomOf(market.seed, `${key}/p`) < market.partialChance;
  const part = floorQuantity(remaining.times(randomOf(market.seed, `${key}/q`)), market.rules.step);
  const quantity = partial && part.gt(0) ? part : remaining;
  const price = order.price === null || at.arriving ? at.price : order.price;
  return {
    orderId: order.id,
    price,
    quantity: text(quantity),
    fee: text(dec(price).times(quantity).times(market.rules.fee)),
  };
}
