import { DomainError } from '#libs/contracts';
import { dec, gridAccount, text } from '#libs/trading';
import type { Sql } from '../database/database.js';
import { marketOf } from '../exchange/markets.js';
import type { BotRecord } from './bot-record.js';

/** Takes the investment from the account's free quote currency. */
export async function reserve(sql: Sql, bot: BotRecord): Promise<void> {
  const { quote } = marketOf(bot.pair);
  const rows = await sql('update assets set amount = amount - $2 where asset = $1 and amount >= $2 returning 1', [
    quote,
    bot.params.investment,
  ]);
  if (rows.length === 0) {
    const [free] = await sql<{ amount: string }>('select amount from assets where asset = $1', [quote]);
    const available = text(dec(free?.amount ?? 0));
    throw new DomainError('INSUFFICIENT_BALANCE', {
      message: `The bot needs ${bot.params.investment} ${quote}; ${available} are free.`,
      details: { needed: bot.params.investment, free: available, asset: quote },
    });
  }
}

/** Gives back what an ended bot holds. Base currency keeps the value it had then as its cost. */
export async function release(sql: Sql, bot: BotRecord): Promise<void> {
  const { base, quote } = marketOf(bot.pair);
  const price = bot.finalPrice ?? '0';
  const account = gridAccount(bot.grid, price);
  await sql('update assets set amount = amount + $2 where asset = $1', [quote, account.quote]);
  await sql('update assets set amount = amount + $2, cost = cost + $3 where asset = $1', [
    base,
    account.base,
    text(dec(account.base).times(price)),
  ]);
}
