import type { Bot, BotStatus, Pnl } from '#libs/contracts';
import { dec, gridAccount, shortText, sum, text, type GridAccount } from '#libs/trading';
import { marketOf } from '../exchange/markets.js';
import { NO_PNL, utcDay, type BotRecord } from './bot-record.js';
import { priceText, triggerWords, words } from './bot-words.js';

/** Of bots that ended: their figures do not change any more, and there are ever more of them. */
const endedAccounts = new WeakMap<BotRecord, GridAccount>();

/** The account of a bot at the price that counts for it: of a stopped one, the price it stopped at. */
export function botAccount(bot: BotRecord, price: string | null): GridAccount {
  const known = endedAccounts.get(bot);
  if (known) {
    return known;
  }
  const account = gridAccount(bot.grid, bot.finalPrice ?? price ?? '0');
  if (bot.finalPrice !== null) {
    endedAccounts.set(bot, account);
  }
  return account;
}

export function subtractPnl(a: Pnl, b: Pnl): Pnl {
  const minus = (key: keyof Pnl): string => text(dec(a[key]).minus(b[key]));
  return { total: minus('total'), grid: minus('grid'), unrealised: minus('unrealised'), otherFees: minus('otherFees') };
}

export function addPnl(parts: readonly Pnl[]): Pnl {
  const add = (key: keyof Pnl): string => text(sum(parts.map((part) => part[key])));
  return { total: add('total'), grid: add('grid'), unrealised: add('unrealised'), otherFees: add('otherFees') };
}

/** Profit since 00:00 UTC: nothing for a bot that stopped on an earlier day. */
export function todayPnl(bot: BotRecord, price: string | null, now: Date): Pnl {
  const today = utcDay(now);
  if (bot.day.date === today) {
    return subtractPnl(botAccount(bot, price).pnl, bot.day.pnl);
  }
  return NO_PNL;
}

export interface BotFacts {
  price: string | null;
  fresh: boolean;
  now: Date;
}

function statusOf(bot: BotRecord, fresh: boolean): BotStatus {
  const { phase, range } = bot.grid;
  if (phase === 'ending') {
    return bot.state === 'error' ? 'error' : 'stopping';
  }
  if (bot.state === 'running') {
    return phase === 'waiting' || range !== 'inside' || !fresh ? 'waiting' : 'running';
  }
  if (bot.state === 'stopped') {
    return bot.endedBy === 'user' || bot.endedBy === null ? 'stopped' : 'finished';
  }
  return bot.state;
}

function reasonOf(bot: BotRecord, { fresh, price }: BotFacts): BotRecord['reason'] {
  const { phase, range, params } = bot.grid;
  const market = marketOf(bot.pair);
  if (bot.reason !== null || bot.state !== 'running') {
    return bot.reason;
  }
  if (!fresh) {
    return words('bot.price_stale', 'There is no fresh price; the bot waits for one.', {});
  }
  if (phase === 'waiting' && params.triggerPrice !== null) {
    return triggerWords(params.triggerPrice, market);
  }
  if (range !== 'inside' && price !== null) {
    const now = priceText(price, market);
    const english = `The price ${now} is ${range} the range; the bot resumes when it returns.`;
    return words(`range.${range}`, english, { price: now });
  }
  return null;
}

export function botView(bot: BotRecord, facts: BotFacts): Bot {
  const { price, fresh, now } = facts;
  const account = botAccount(bot, price);
  const orders = bot.grid.cells.flatMap((cell) => (cell.order ? [cell.order.side] : []));
  const buys = orders.filter((side) => side === 'buy').length;
  const started = bot.startedAt !== null;
  const { pnl } = account;
  const reason = reasonOf(bot, facts);
  return {
    id: bot.id,
    name: bot.name,
    pair: bot.pair,
    mode: 'paper',
    strategy: 'grid',
    params: bot.params,
    state: bot.state,
    status: statusOf(bot, fresh),
    reason: reason?.text ?? null,
    ...(reason?.code ? { reasonCode: reason.code, reasonParams: reason.params ?? {} } : {}),
    since: bot.since.toISOString(),
    createdAt: bot.createdAt.toISOString(),
    startedAt: bot.startedAt?.toISOString() ?? null,
    stoppedAt: bot.stoppedAt?.toISOString() ?? null,
    price: bot.finalPrice ?? price,
    equity: account.equity,
    pnl,
    today: todayPnl(bot, price, now),
    totalReturn: shortText(dec(pnl.total).div(bot.params.investment)),
    maxDrawdown: shortText(dec(bot.drawdown)),
    holdings: { base: account.base, quote: started ? account.quote : '0' },
    openOrders: { total: orders.length, buys, sells: orders.length - buys },
    cellsClosed: bot.grid.cellsClosed,
    fills: bot.grid.fills,
    cellQuantity: bot.grid.cells[0]?.quantity ?? null,
    levels: levelsOf(bot),
    lastOrderAt: bot.lastOrderAt?.toISOString() ?? null,
  };
}

/** Each level once, lowest first: it is the lower one of the cell above it and the upper one of the cell below. */
function levelsOf({ grid: { cells } }: BotRecord): Bot['levels'] {
  const last = cells.at(-1);
  if (!last) {
    return [];
  }
  return [...cells.map((cell) => cell.lower), last.upper].map((price, i) => {
    const buy = cells[i]?.order;
    const sell = cells[i - 1]?.order;
    const order = buy?.side === 'buy' ? buy : sell?.side === 'sell' ? sell : null;
    return order
      ? { price, side: order.side, quantity: text(dec(order.quantity).minus(order.filled)) }
      : { price, side: 'empty', quantity: '0' };
  });
}
