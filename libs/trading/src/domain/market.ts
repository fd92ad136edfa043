import type { Decimal } from 'decimal.js';
import { dec, text, type Amount } from './decimal.js';

/** What an exchange accepts for a pair. Prices are multiples of tick, quantities of step; fee is of one side. */
export interface MarketRules {
  tick: Amount;
  step: Amount;
  minNotional: Amount;
  fee: Amount;
}

export type Side = 'buy' | 'sell';

/** The nearest multiple of the tick; halves go down, so that a level never moves up into its neighbour. */
export function roundPrice(price: Decimal, tick: Amount): Decimal {
  return price.div(tick).toDecimalPlaces(0, 5).times(tick);
}

/** The highest multiple of the tick that is not above. */
export function floorPrice(price: Decimal, tick: Amount): Decimal {
  return price.div(tick).floor().times(tick);
}

export function floorQuantity(quantity: Decimal, step: Amount): Decimal {
  return quantity.div(step).floor().times(step);
}

export function ceilQuantity(quantity: Decimal, step: Amount): Decimal {
  return quantity.div(step).ceil().times(step);
}

/** True when an exchange would take an order of this size at this price. */
export function isTradable(price: Decimal, quantity: Decimal, rules: MarketRules): boolean {
  return quantity.gte(rules.step) && price.times(quantity).gte(rules.minNotional);
}

/** Why an exchange refuses an order: in words, and by a code with the figures of the words. */
export interface Refusal {
  text: string;
  code: 'not_positive' | 'off_tick' | 'off_step' | 'below_minimum';
  params: Record<string, Amount>;
}

/** Why an exchange refuses an order, or null. `price` is the limit, or the present price for a market order. */
export function refusal(
  order: { price: Amount; quantity: Amount; type: 'limit' | 'market' },
  rules: MarketRules,
): Refusal | null {
  const price = dec(order.price);
  const quantity = dec(order.quantity);
  if (!price.gt(0) || !quantity.gt(0)) {
    return { text: 'price and quantity must be above zero', code: 'not_positive', params: {} };
  }
  if (order.type === 'limit' && !price.mod(rules.tick).isZero()) {
    const { tick } = rules;
    const english = `price ${order.price} is not a multiple of the tick ${tick}`;
    return { text: english, code: 'off_tick', params: { price: order.price, tick } };
  }
  if (!quantity.mod(rules.step).isZero()) {
    const { step } = rules;
    const english = `quantity ${order.quantity} is not a multiple of the step ${step}`;
    return { text: english, code: 'off_step', params: { quantity: order.quantity, step } };
  }
  if (price.times(quantity).lt(rules.minNotional)) {
    const [value, minimum] = [text(price.times(quantity)), rules.minNotional];
    const english = `worth ${value}, less than the minimum ${minimum}`;
    return { text: english, code: 'below_minimum', params: { value, minimum } };
  }
  return null;
}
