import type { GridEffect, OrderRequest } from '#libs/trading';
import { dec } from '#libs/trading';
import type { NewEvent } from './bot-store.js';

const signed = (amount: string): string => {
  const value = dec(amount).toDecimalPlaces(2);
  return `${value.isNegative() ? '−' : '+'}${value.abs().toFixed(2)}`;
};

const ENDS = { user: 'you stopped it', stop_loss: 'stop-loss', take_profit: 'take-profit' } as const;

export interface FillWords {
  side: 'buy' | 'sell';
  quantity: string;
  price: string;
  base: string;
}

/** The log line of an effect; null for effects that need none. */
export function effectWords(effect: GridEffect, fill: FillWords | null): NewEvent | null {
  switch (effect.kind) {
    case 'waiting_for_trigger':
      return { level: 'info', kind: 'bot.waiting', text: `Waits until the price reaches ${effect.price}` };
    case 'started':
      return {
        level: 'info',
        kind: 'bot.started',
        text: `Started at ${effect.price}: ${effect.buys} cells wait to buy, ${effect.sells} begin with base currency`,
      };
    case 'filled':
      return fill
        ? {
            level: 'info',
            kind: `fill.${fill.side}`,
            text: `${fill.side === 'buy' ? 'Bought' : 'Sold'} ${fill.quantity} ${fill.base} at ${fill.price}${
              effect.cellProfit === null ? '' : `, cell ${signed(effect.cellProfit)} net`
            }`,
          }
        : null;
    case 'range':
      return {
        level: effect.range === 'inside' ? 'info' : 'warn',
        kind: 'bot.range',
        text:
          effect.range === 'inside'
            ? `Price ${effect.price} is back in the range`
            : `Price ${effect.price} is ${effect.range} the range; nothing is traded until it returns`,
      };
    case 'ending':
      return { level: 'info', kind: 'bot.ending', text: `Ends at ${effect.price} (${ENDS[effect.reason]})` };
    case 'ended':
      return {
        level: 'info',
        kind: effect.reason === 'user' ? 'bot.stopped' : 'bot.finished',
        text: effect.reason === 'user' ? 'Stopped' : `Finished: ${ENDS[effect.reason]} at ${effect.price}`,
      };
    case 'failed':
      return { level: 'error', kind: 'bot.error', text: effect.reason };
  }
}

/** One line for many orders, one each for few. */
export function orderWords(orders: readonly OrderRequest[], base: string): NewEvent[] {
  if (orders.length > 3) {
    const buys = orders.filter(({ side }) => side === 'buy').length;
    const text = `Placed ${orders.length} orders: ${buys} to buy, ${orders.length - buys} to sell`;
    return [{ level: 'info', kind: 'order.placed', text }];
  }
  return orders.map(({ side, price, quantity }) => ({
    level: 'info',
    kind: 'order.placed',
    text: `${side === 'buy' ? 'Buy' : 'Sell'} ${quantity} ${base} placed at ${price ?? 'market'}`,
  }));
}
