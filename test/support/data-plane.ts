import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import type { Bot, Market } from '#libs/contracts';
import type { PortalClient } from './portal-client.js';

/** Ten prices a second, so that levels of a narrow grid are crossed in seconds. */
const FASTER = `update settings set value = jsonb_set(value, '{tickMs}', '100') where key = 'price_source'`;

/** A stack whose reports were refused for long asks again within five minutes. */
const REPORTED_MS = 360_000;

/** What the bot wrote down and what the exchange has, in one statement and so of one moment. */
export interface Books {
  /** Client order ids, as the bot and as the exchange know them. */
  meant: string[];
  taken: string[];
  /** Numbers of trades: `order/trade`. */
  booked: string[];
  traded: string[];
}
export const BOOKS = `select json_build_object(
  'meant', (select coalesce(json_agg(client_order_id), '[]') from orders where state not in ('pending', 'rejected')),
  'taken', (select coalesce(json_agg(client_order_id), '[]') from paper_orders),
  'booked', (select coalesce(json_agg(o.client_order_id || '/' || f.trade_id), '[]') from fills f join orders o on o.id = f.order_id),
  'traded', (select coalesce(json_agg(client_order_id || '/' || id), '[]') from paper_trades))`;

/** The parts of a platform that a test or a bench takes away and asks. */
export interface DataPlaneWorld {
  container(service: 'api' | 'api2' | 'worker' | 'agent' | 'postgres'): string;
  sql(statement: string): Promise<string>;
  stackSql(slug: string, statement: string): Promise<string>;
  docker(...args: string[]): Promise<string>;
}

/** A signed-in owner and a stack whose bot trades. */
export interface TradingOwner {
  owner: PortalClient;
  slug: string;
  bot: string;
}

export async function tradingBot(
  world: Pick<DataPlaneWorld, 'stackSql'>,
  { owner, slug }: Omit<TradingOwner, 'bot'>,
): Promise<string> {
  await world.stackSql(slug, FASTER);
  const restarted = await owner.order(slug, 'restart');
  if (restarted.state !== 'done') {
    throw new Error(`the restart of ${slug} ended ${restarted.state}`);
  }
  return newBot(owner, slug, true);
}

/** How many orders of the bot stand at the exchange, as its own page says. */
export async function openOrdersOf({ owner, slug, bot }: TradingOwner): Promise<number> {
  return (await owner.ask<Bot>(owner.dashboardHost(slug), `/api/v1/bots/${bot}`)).body.openOrders.total;
}

async function newBot(owner: PortalClient, slug: string, start: boolean): Promise<string> {
  const host = owner.dashboardHost(slug);
  const market = (await owner.ask<Market>(host, '/api/v1/market')).body.pairs[0];
  const price = Number(market?.price);
  const made = await owner.ask<Bot>(host, '/api/v1/bots', {
    method: 'POST',
    body: {
      pair: market?.pair,
      start,
      params: {
        // Wide enough that the price does not leave it within minutes, close enough that it trades in each.
        lower: (price * 0.955).toFixed(1),
        upper: (price * 1.045).toFixed(1),
        grids: 30,
        investment: '1000',
      },
    },
  });
  if (made.status !== 201) {
    throw new Error(`a new bot of ${slug} was answered with ${made.status}: ${made.text}`);
  }
  return made.body.id;
}

/** A moment at which bot and exchange know of the same orders and trades, each once. */
export function booksOf(world: Pick<DataPlaneWorld, 'stackSql'>, slug: string, deadlineMs = 60_000): Promise<Books> {
  return waitFor(
    async () => {
      const now = JSON.parse(await world.stackSql(slug, BOOKS)) as Books;
      const same = (a: string[], b: string[]): boolean =>
        a.length === b.length && new Set([...a, ...b]).size === a.length;
      if (!same(now.meant, now.taken) || !same(now.booked, now.traded)) {
        throw new Error(
          `bot and exchange differ: ${now.meant.length} and ${now.taken.length} orders, ${now.booked.length} and ${now.traded.length} trades`,
        );
      }
      return now;
    },
    { what: 'bot and exchange knowing of the same orders and trades', deadlineMs },
  );
}

export interface Load {
  requests: number;
  /** Each answer that was not the one asked for: path and why. */
  failed: string[];
  /** Milliseconds. */
  latencies: number[];
}

/**
 * Asks for pages and figures as signed-in owners' browsers do, `perSecond` in all and whether or not the last one was
 * answered, until the signal. A bot that is not trading counts as a failed request.
 */
export async function ownersLoad(
  owners: readonly TradingOwner[],
  perSecond: number,
  until: AbortSignal,
): Promise<Load> {
  const load: Load = { requests: 0, failed: [], latencies: [] };
  const open = new Set<Promise<void>>();
  const one = async ({ owner, slug, bot }: TradingOwner, path: string): Promise<void> => {
    const began = performance.now();
    try {
      const { status, body, text } = await owner.ask<Partial<Bot> | undefined>(owner.dashboardHost(slug), path);
      load.latencies.push(performance.now() - began);
      if (status !== 200) {
        load.failed.push(`${path}: ${status} ${text.slice(0, 100)}`);
      } else if (path.endsWith(bot) && !['running', 'waiting'].includes(body?.status ?? '')) {
        load.failed.push(`${path}: the bot is ${body?.status ?? 'gone'}`);
      }
    } catch (error) {
      load.failed.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const began = performance.now();
  while (!until.aborted) {
    const who = owners[load.requests % owners.length];
    if (!who) {
      throw new Error('nobody to ask as');
    }
    const paths = ['/', '/api/v1/me', `/api/v1/bots/${who.bot}`, '/api/v1/market', '/ready'];
    const asked = one(who, paths[Math.floor(load.requests / owners.length) % paths.length] ?? '/');
    open.add(asked);
    void asked.finally(() => open.delete(asked));
    load.requests += 1;
    const due = began + (load.requests * 1_000) / perSecond;
    await pause(Math.max(0, due - performance.now()));
  }
  await Promise.all(open);
  return load;
}

export interface Outage {
  seconds: number;
  load: Load;
  /** Trades of all bots while the portal was away; for each stack that it had some in every quarter of that time. */
  trades: number;
  quietQuarters: string[];
  /** Orders and trades of before that are there no more. */
  lost: string[];
  /** Events that waited in the stacks at the end of it; of those, what the portal has once, and what it has not once. */
  reports: { waited: number; arrived: number; wrong: string[] };
}

/**
 * Takes api, worker, agent and the portal's database away for so long, under load through the proxy, and brings them back.
 * Meanwhile each owner also makes a bot, starts and stops it, which the portal is told of later.
 */
export async function outage(
  world: DataPlaneWorld,
  owners: readonly TradingOwner[],
  { seconds, perSecond }: { seconds: number; perSecond: number },
): Promise<Outage> {
  const away = (['api', 'api2', 'worker', 'agent', 'postgres'] as const).map((service) => world.container(service));
  const before = await Promise.all(owners.map(({ slug }) => booksOf(world, slug)));
  await world.docker('stop', '-t', '5', ...away);
  const end = new AbortController();
  const began = performance.now();
  const loading = ownersLoad(owners, perSecond, end.signal);
  const quietQuarters: string[] = [];
  const traded = (slug: string): Promise<number> => world.stackSql(slug, 'select count(*) from fills').then(Number);
  try {
    for (const { owner, slug } of owners) {
      const bot = await newBot(owner, slug, true);
      const stopped = await owner.ask(owner.dashboardHost(slug), `/api/v1/bots/${bot}/stop`, {
        method: 'POST',
        body: { onExit: 'keep' },
      });
      if (stopped.status >= 300) {
        throw new Error(`the stop of a bot of ${slug} was answered with ${stopped.status}: ${stopped.text}`);
      }
    }
    for (let quarter = 1; quarter <= 4; quarter += 1) {
      const at = await Promise.all(owners.map(({ slug }) => traded(slug)));
      await pause(Math.max(0, began + (quarter * seconds * 1_000) / 4 - performance.now()));
      const then = await Promise.all(owners.map(({ slug }) => traded(slug)));
      owners.forEach(({ slug }, index) => {
        if ((then[index] ?? 0) <= (at[index] ?? 0)) {
          quietQuarters.push(`${slug}, quarter ${quarter}`);
        }
      });
    }
  } finally {
    end.abort();
  }
  const load = await loading;
  const after = await Promise.all(owners.map(({ slug }) => booksOf(world, slug)));
  const waiting = await Promise.all(
    owners.map(async ({ slug }) =>
      (await world.stackSql(slug, `select id from outbox where kind = 'event' and refused_at is null`))
        .split('\n')
        .filter(Boolean),
    ),
  );
  const took = (performance.now() - began) / 1_000;
  await world.docker('start', ...away);
  const ids = waiting.flat();
  for (const { slug } of owners) {
    await waitFor(
      async () =>
        (await world.stackSql(slug, `select count(*) from outbox where kind = 'event'`)) === '0' ? true : undefined,
      { what: `the reports of ${slug} being taken`, deadlineMs: REPORTED_MS, intervalMs: 500, maxIntervalMs: 2_000 },
    );
  }
  const list = ids.map((id) => `('${id}'::uuid)`).join(', ');
  const counts =
    ids.length === 0
      ? ''
      : await world.sql(
          `select w.id, count(e.id) from (values ${list}) as w (id)
             left join runtime_events o on o.id = w.id
             left join runtime_events e on (e.tenant_id, e.event, e.at, e.text) = (o.tenant_id, o.event, o.at, o.text)
              and e.bot is not distinct from o.bot
            group by w.id`,
        );
  const rows = counts.split('\n').filter(Boolean);
  const wrong = rows.filter((row) => !row.endsWith('|1'));
  return {
    seconds: took,
    load,
    trades: after.reduce((sum, books, index) => sum + books.traded.length - (before[index]?.traded.length ?? 0), 0),
    quietQuarters,
    lost: before.flatMap((books, index) => [
      ...books.taken.filter((order) => !after[index]?.taken.includes(order)),
      ...books.traded.filter((trade) => !after[index]?.traded.includes(trade)),
    ]),
    reports: { waited: ids.length, arrived: rows.length - wrong.length, wrong },
  };
}
