import type { BOT_MESSAGES, BotMessageCode } from '#libs/contracts';
import type { GridEffect, OrderRequest } from '#libs/trading';
import { dec, text } from '#libs/trading';
import type { Placed } from '../exchange/paper-exchange.js';
import type { MarketSpec } from '../exchange/markets.js';
import type { Held } from '../stack/holds.js';

/** A sentence as it is stored: for people who read English, and for a dictionary. */
export interface Words {
  text: string;
  code: BotMessageCode;
  params: Record<string, string>;
}

/** Why something is as it is. Rows of before there were codes, and exchanges without, have the text only. */
export type Reason = Pick<Words, 'text'> & Partial<Words>;

export interface NewEvent extends Words {
  level: 'info' | 'warn' | 'error';
  /** Stable name of the kind of event, coarser than the code. */
  kind: string;
}

type ParamsOf<C extends BotMessageCode> = Record<(typeof BOT_MESSAGES)[C][number], string>;

/** Words whose parameters are those the contract names for the code, and whatever more there is. */
export function words<C extends BotMessageCode>(
  code: C,
  english: string,
  params: ParamsOf<C> & Record<string, string>,
): Words {
  return { text: english, code, params };
}

export function event(kind: string, said: Words, level: NewEvent['level'] = 'info'): NewEvent {
  return { ...said, kind, level };
}

/** A price with the digits of the tick: stored decimals carry as many as they were worked out with. */
export function priceText(price: string, { rules }: MarketSpec): string {
  return dec(price).toFixed(dec(rules.tick).decimalPlaces());
}

const quantityText = (quantity: string): string => text(dec(quantity));

const signed = (amount: string): string => {
  const value = dec(amount).toDecimalPlaces(2);
  return `${value.isNegative() ? '−' : '+'}${value.abs().toFixed(2)}`;
};

const ENDS = { user: 'you stopped it', stop_loss: 'stop-loss', take_profit: 'take-profit' } as const;

export interface FillWords {
  side: 'buy' | 'sell';
  quantity: string;
  price: string;
}

/** The log line of an effect; null for effects that need none. `fill` is the trade a `filled` effect came from. */
export function effectWords(effect: GridEffect, market: MarketSpec, fill: FillWords | null): NewEvent | null {
  switch (effect.kind) {
    case 'waiting_for_trigger':
      return event('bot.waiting', triggerWords(effect.price, market));
    case 'started': {
      const price = priceText(effect.price, market);
      const [buys, sells] = [String(effect.buys), String(effect.sells)];
      const english = `Started at ${price}: ${buys} cells wait to buy, ${sells} begin with base currency`;
      return event('bot.started', words('bot.started', english, { price, buys, sells }));
    }
    case 'filled':
      return fill ? event(`fill.${fill.side}`, fillWords(fill, market, effect.cellProfit)) : null;
    case 'range':
      return event('bot.range', rangeWords(effect, market), effect.range === 'inside' ? 'info' : 'warn');
    case 'ending': {
      const price = priceText(effect.price, market);
      const english = `Ends at ${price} (${ENDS[effect.reason]})`;
      return event('bot.ending', words(`ending.${effect.reason}`, english, { price }));
    }
    case 'ended':
      return event(effect.reason === 'user' ? 'bot.stopped' : 'bot.finished', endWords(effect, market));
    case 'failed':
      return event('bot.error', failureWords(effect), 'error');
  }
}

export function triggerWords(trigger: string, market: MarketSpec): Words {
  const price = priceText(trigger, market);
  return words('bot.waiting', `Waits until the price reaches ${price}`, { price });
}

function fillWords(fill: FillWords, market: MarketSpec, cellProfit: string | null): Words {
  const params = {
    quantity: quantityText(fill.quantity),
    base: market.base,
    price: priceText(fill.price, market),
  };
  const english = `${fill.side === 'buy' ? 'Bought' : 'Sold'} ${params.quantity} ${params.base} at ${params.price}`;
  if (cellProfit === null) {
    return words(`fill.${fill.side}`, english, params);
  }
  const profit = dec(cellProfit).toFixed(2);
  return words('fill.sell_cell', `${english}, cell ${signed(cellProfit)} net`, { ...params, profit });
}

function rangeWords(effect: Extract<GridEffect, { kind: 'range' }>, market: MarketSpec): Words {
  const price = priceText(effect.price, market);
  const english =
    effect.range === 'inside'
      ? `Price ${price} is back in the range`
      : `Price ${price} is ${effect.range} the range; nothing is traded until it returns`;
  return words(`range.${effect.range}`, english, { price });
}

function endWords({ reason, price: at }: Extract<GridEffect, { kind: 'ended' }>, market: MarketSpec): Words {
  const price = priceText(at, market);
  const english = reason === 'user' ? 'Stopped' : `Finished: ${ENDS[reason]} at ${price}`;
  return words(`ended.${reason}`, english, { price });
}

function failureWords(effect: Extract<GridEffect, { kind: 'failed' }>): Words {
  if (effect.problem) {
    return words('error.strategy', effect.reason, { ...effect.problem.values, problem: effect.problem.code });
  }
  return words('error.order_refused', `The exchange refused an order: ${effect.reason}.`, { why: effect.reason });
}

/** Why the exchange refused an order, with a code where it gives one. */
export function refusalWords({ text: english, code, params = {} }: NonNullable<Placed['refusal']>): Reason {
  return code ? { text: english, code: `refusal.${code}`, params } : { text: english };
}

/** One line for many orders, one each for few. */
export function orderWords(orders: readonly OrderRequest[], market: MarketSpec): NewEvent[] {
  if (orders.length > 3) {
    const bought = orders.filter(({ side }) => side === 'buy').length;
    const [count, buys, sells] = [orders.length, bought, orders.length - bought].map(String) as [
      string,
      string,
      string,
    ];
    const english = `Placed ${count} orders: ${buys} to buy, ${sells} to sell`;
    return [event('order.placed', words('orders.placed', english, { count, buys, sells }))];
  }
  return orders.map((order) => event('order.placed', orderLine(order, market)));
}

function orderLine({ side, purpose, price: at, quantity: amount }: OrderRequest, market: MarketSpec): Words {
  const { base } = market;
  const quantity = quantityText(amount);
  if (at === null) {
    return words('order.sell_now', `Sell ${quantity} ${base} placed at market`, { quantity, base });
  }
  const price = priceText(at, market);
  if (purpose === 'start') {
    const english = `Buy ${quantity} ${base} placed at market, at most ${price}`;
    return words('order.buy_now', english, { quantity, base, limit: price });
  }
  const english = `${side === 'buy' ? 'Buy' : 'Sell'} ${quantity} ${base} placed at ${price}`;
  return words(`order.${side}`, english, { quantity, base, price });
}

/** What a bot says when the platform holds it, and when it lets it go. */
export function heldEvent(held: Held): NewEvent {
  if (held.kind !== 'disk') {
    const english = 'The stack restarts: open orders are taken back and placed again afterwards';
    return event('bot.held', words('bot.held_restart', english, {}));
  }
  const percent = String(held.percent);
  const english = `The disk is ${percent} % full: open orders are taken back until there is room`;
  return event('bot.held', words('bot.held_disk', english, { percent }), 'warn');
}

export function releasedEvent(): NewEvent {
  return event('bot.resumed', words('bot.released', 'Goes on; its orders are placed again', {}));
}
