import type { BotState, GridParams, Pair, Pnl } from '#libs/contracts';
import type { ExitReason, GridState } from '#libs/trading';
import type { Reason } from './bot-words.js';

/** A bot as its row says. Copies are made for every change; the supervisor's is the newest committed one. */
export interface BotRecord {
  id: string;
  /** Ten base32 digits: the bot's part of its order ids. */
  code: string;
  name: string;
  pair: Pair;
  params: GridParams;
  state: BotState;
  /** Why the state is what it is. */
  reason: Reason | null;
  endedBy: ExitReason | null;
  since: Date;
  createdAt: Date;
  startedAt: Date | null;
  stoppedAt: Date | null;
  deletedAt: Date | null;
  /** In the market as the original's bot, when the copy was made: nothing is done for it until a person says so. */
  adoptedAt: Date | null;
  grid: GridState;
  version: number;
  finalPrice: string | null;
  lastOrderAt: Date | null;
  /** The profit the present UTC day began with. */
  day: { date: string; pnl: Pnl };
  peak: string;
  drawdown: string;
}

export const NO_PNL: Pnl = { total: '0', grid: '0', unrealised: '0', otherFees: '0' };

export function utcDay(now: Date): string {
  return now.toISOString().slice(0, 10);
}

/** At most 24 of [a-z0-9], beginning with a letter: every exchange we know takes it as a client order id. */
export function clientOrderId(code: string, ref: number): string {
  return `av${code}${ref.toString(36)}`;
}

export function orderPrefix(code: string): string {
  return `av${code}`;
}
