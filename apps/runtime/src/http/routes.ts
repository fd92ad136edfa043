import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  candlesQuerySchema,
  createBotSchema,
  createTokenSchema,
  DomainError,
  equityQuerySchema,
  ordersQuerySchema,
  pageQuerySchema,
  stopBotSchema,
  tradesQuerySchema,
  uuidSchema,
  type Market,
  type Overview,
  type RuntimeMe,
} from '#libs/contracts';
import { z } from 'zod';
import { ACCOUNT } from '../account/account-service.js';
import type { App } from '../app.js';
import { MARKETS } from '../exchange/markets.js';
import { STREAM_HEADERS } from '../live/live-hub.js';
import { idempotencyKey, parseBody, parseQuery } from './answers.js';
import type { Context, Route } from './router.js';

const LAST_FILLS = 10;
const nothing = z.strictObject({});

function idOf({ params }: Context): string {
  const id = uuidSchema.safeParse(params['id']);
  if (!id.success) {
    throw new DomainError('NOT_FOUND');
  }
  return id.data;
}

const ok = (body: unknown) => ({ status: 200, body });

/** Every route of the API. The handlers parse, call one service and say what to send. */
export function routesOf(app: App): Route[] {
  return [...accountRoutes(app), ...marketRoutes(app), ...botRoutes(app), ...tokenRoutes(app)];
}

function accountRoutes(app: App): Route[] {
  const { account, history } = app;
  return [
    {
      method: 'GET',
      path: '/me',
      access: 'look',
      handle: ({ caller }) => {
        const { spec } = app.files;
        const me: RuntimeMe = {
          kind: caller.kind,
          name: caller.name,
          role: caller.role,
          mayTrade: caller.mayTrade,
          slug: spec.slug,
          release: spec.release,
          portalUrl: spec.portalUrl,
          mode: 'paper',
          limits: { bots: spec.limits.bots },
        };
        return ok(me);
      },
    },
    {
      method: 'GET',
      path: '/overview',
      access: 'look',
      handle: async () => {
        const fills = await history.fills({ limit: LAST_FILLS });
        const overview: Overview = { ...account.overview(), lastFills: fills.items };
        return ok(overview);
      },
    },
    {
      method: 'GET',
      path: '/equity',
      access: 'look',
      handle: async ({ url }) => {
        const { range } = parseQuery(url, equityQuerySchema);
        return ok(await account.equity(ACCOUNT, range, account.overview().equity));
      },
    },
    {
      method: 'GET',
      path: '/trades',
      access: 'look',
      handle: async ({ url }) => ok(await history.trades(parseQuery(url, tradesQuerySchema))),
    },
    {
      method: 'GET',
      path: '/trades.csv',
      access: 'look',
      handle: async ({ url, request, response }) => {
        const query = parseQuery(url, tradesQuerySchema);
        response.writeHead(200, {
          'content-type': 'text/csv; charset=utf-8',
          'content-disposition': `attachment; filename="aviary-${app.files.spec.slug}-trades.csv"`,
          'cache-control': 'no-store',
        });
        if (request.method === 'HEAD') {
          response.end();
          return;
        }
        await pipeline(Readable.from(history.csv(query)), response);
      },
    },
    {
      method: 'GET',
      path: '/stream',
      access: 'look',
      handle: ({ request, response, caller }) => {
        if (request.method === 'HEAD') {
          response.writeHead(200, STREAM_HEADERS).end();
          return;
        }
        const last = request.headers['last-event-id'];
        const listener = { session: caller.session, token: caller.token };
        app.hub.open(response, listener, last === undefined ? undefined : String(last));
      },
    },
  ];
}

function marketRoutes(app: App): Route[] {
  const { prices, candles } = app;
  return [
    {
      method: 'GET',
      path: '/market',
      access: 'look',
      handle: async () => {
        const now = new Date();
        const yesterday = new Date(now.getTime() - 86_400_000);
        const pairs = await Promise.all(
          MARKETS.map(async ({ pair, base, quote, rules, start }) => {
            const price = prices.get(pair);
            return {
              pair,
              base,
              quote,
              ...rules,
              price: price?.price ?? start,
              priceAt: (price?.at ?? now).toISOString(),
              fresh: prices.isFresh(pair, now),
              price24hAgo: await candles.priceAt(pair, yesterday),
            };
          }),
        );
        const market: Market = { source: 'Simulated prices', sourceCode: 'simulated', pairs };
        return ok(market);
      },
    },
    {
      method: 'GET',
      path: '/market/candles',
      access: 'look',
      handle: async ({ url }) => {
        const { pair, interval, to, limit } = parseQuery(url, candlesQuerySchema);
        // The end is exclusive; a moment later includes the bar of this very millisecond.
        const until = to === undefined ? new Date(Date.now() + 1) : new Date(to);
        return ok({ pair, interval, items: await candles.list({ pair, interval, to: until, limit }) });
      },
    },
  ];
}

function botRoutes(app: App): Route[] {
  const { bots, history, account } = app;
  const action = (name: string, run: (id: string) => Promise<unknown>): Route => ({
    method: 'POST',
    path: `/bots/:id/${name}`,
    access: 'trade',
    handle: async (context) => {
      const id = idOf(context);
      await parseBody(context.request, nothing);
      return ok(await run(id));
    },
  });
  return [
    {
      method: 'GET',
      path: '/bots',
      access: 'look',
      handle: () => ok({ items: bots.list(), limit: app.files.spec.limits.bots }),
    },
    {
      method: 'POST',
      path: '/bots',
      access: 'trade',
      handle: async ({ request, response }) => {
        const key = idempotencyKey(request);
        const { bot, replayed } = await bots.create(await parseBody(request, createBotSchema), key);
        if (replayed) {
          response.setHeader('Idempotency-Replayed', 'true');
        }
        return { status: 201, body: bot };
      },
    },
    {
      method: 'GET',
      path: '/bots/:id',
      access: 'look',
      handle: (context) => ok(bots.view(bots.find(idOf(context)).record)),
    },
    {
      method: 'DELETE',
      path: '/bots/:id',
      access: 'trade',
      handle: async (context) => {
        await bots.remove(idOf(context));
        return { status: 204 };
      },
    },
    action('start', (id) => bots.start(id)),
    action('pause', (id) => bots.pause(id)),
    action('resume', (id) => bots.resumeBot(id)),
    {
      method: 'POST',
      path: '/bots/:id/stop',
      access: 'trade',
      handle: async (context) => {
        const id = idOf(context);
        const { onExit } = await parseBody(context.request, stopBotSchema);
        return ok(await bots.stop(id, onExit));
      },
    },
    {
      method: 'GET',
      path: '/bots/:id/orders',
      access: 'look',
      handle: async (context) => {
        const { record } = bots.find(idOf(context));
        return ok(await history.orders(record.id, parseQuery(context.url, ordersQuerySchema)));
      },
    },
    {
      method: 'GET',
      path: '/bots/:id/fills',
      access: 'look',
      handle: async (context) => {
        const { record } = bots.find(idOf(context));
        return ok(await history.fills({ ...parseQuery(context.url, pageQuerySchema), bot: record.id }));
      },
    },
    {
      method: 'GET',
      path: '/bots/:id/events',
      access: 'look',
      handle: async (context) => {
        const { record } = bots.find(idOf(context));
        return ok(await history.events(record.id, parseQuery(context.url, pageQuerySchema)));
      },
    },
    {
      method: 'GET',
      path: '/bots/:id/equity',
      access: 'look',
      handle: async (context) => {
        const { record } = bots.find(idOf(context));
        const { range } = parseQuery(context.url, equityQuerySchema);
        const newest = record.startedAt === null || record.stoppedAt !== null ? null : bots.view(record).equity;
        return ok(await account.equity(record.id, range, newest));
      },
    },
  ];
}

function tokenRoutes({ tokens, hub, holds }: App): Route[] {
  return [
    {
      method: 'GET',
      path: '/tokens',
      access: 'person',
      handle: async () => ok({ items: await tokens.list() }),
    },
    {
      method: 'POST',
      path: '/tokens',
      access: 'person',
      handle: async ({ request }) => {
        const input = await parseBody(request, createTokenSchema);
        holds.requireFree();
        return { status: 201, body: await tokens.create(input) };
      },
    },
    {
      method: 'DELETE',
      path: '/tokens/:id',
      access: 'person',
      handle: async (context) => {
        const id = idOf(context);
        await tokens.revoke(id);
        hub.endToken(id);
        return { status: 204 };
      },
    },
  ];
}
