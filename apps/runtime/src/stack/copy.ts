import type { StackSpec } from '#libs/contracts';
import type { Sql } from '../database/database.js';

const PAUSED =
  'Paused: this stack is a copy of another. Nothing of it trades until that is allowed, and this bot, its stop-loss and take-profit too, not until it is resumed';
const NOT_GUARDED =
  'This stack is a copy of another: the stop-loss and take-profit of this bot do nothing here until that is allowed and you have the bot go on';
const ENDS_HERE =
  'This stack is a copy of another: what this bot was selling the original sells. Here it ends with what it has';
/** In the market, and so watched over where it came from. */
const STARTED = 'started_at is not null and stopped_at is null';

/** Whether the database is that of the stack this one is a copy of, as it was loaded, and not made its own yet. */
export function isToBeAdopted(
  { tenant, platform }: { tenant: string; platform: string },
  spec: Pick<StackSpec, 'clonedFrom' | 'platform'>,
): boolean {
  return tenant === spec.clonedFrom && platform === spec.platform;
}

/** Until a person has each of these bots go on, it does nothing by itself; it says so, since its owner may count on it. */
async function setAside(sql: Sql, which: string): Promise<void> {
  await sql(
    `insert into events (bot_id, at, level, kind, text)
     select id, now(), 'warn', case when state = 'running' and grid ->> 'phase' <> 'ending' then 'bot.paused' else 'bot.adopted' end,
            case when grid ->> 'phase' = 'ending' then $3 when state = 'running' then $1 else $2 end
       from bots where ${which}`,
    [PAUSED, NOT_GUARDED, ENDS_HERE],
  );
  await sql(
    `update bots set version = version + 1, adopted_at = now(), grid = jsonb_set(grid, '{paused}', 'true') where ${which}`,
  );
}

/**
 * What a runtime of before bots were set aside made its own: of a copy that may not trade yet, no bot was had to go on
 * by anybody.
 */
export async function setAsideLate(sql: Sql, { tradingHeldSince }: Pick<StackSpec, 'tradingHeldSince'>): Promise<void> {
  if (tradingHeldSince !== null) {
    await setAside(sql, `${STARTED} and adopted_at is null`);
  }
}

/**
 * Makes the copy a stack of its own, all of it or nothing: bots are paused and their orders over, since those at the
 * exchange are the original's, and one that was ending keeps what it has; its tokens open nothing here, and its reports
 * are its own to send.
 */
export async function adopt(sql: Sql, spec: StackSpec): Promise<void> {
  await sql('update stack set tenant = $1, generation = $2', [spec.tenant, spec.generation]);
  await setAside(sql, STARTED);
  await sql(`update bots set state = 'paused', since = now() where state = 'running'`);
  // The original sells what it was selling. Here its orders are over, and the bot ends with that once it is looked at.
  await sql(
    `update bots set grid = jsonb_set(grid, '{exit,sell}', 'false') where grid ->> 'phase' = 'ending' and stopped_at is null`,
  );
  // What was meant and not sent yet was the original's to send: here it is over as well.
  await sql(
    `insert into paper_orders (client_order_id, pair, side, price, quantity, state)
     select client_order_id, pair, side, price, quantity, 'cancelled' from orders where state = 'pending'
     on conflict do nothing`,
  );
  await sql(`update paper_orders set state = 'cancelled' where state = 'open'`);
  await sql('delete from api_tokens');
  await sql('delete from outbox');
  await sql('delete from requests');
  await sql(`delete from settings where key = 'disk_hold'`);
}
