import type { Bot, Overview, StreamData, StreamEventType } from '#libs/contracts';
import type { QueryClient } from '@tanstack/react-query';
import { keys } from './keys.js';
import {
  withBot,
  withEntry,
  withEquity,
  withLastFill,
  withOpenOrder,
  withOverview,
  withPrice,
  withTick,
  withoutBot,
} from './patches.js';

/** Every page of Trades, and totals over all of it: not for each fill of a bot that trades a few times a second. */
const TRADES_EVERY_MS = 5_000;

type Handlers = { [T in StreamEventType]: (client: QueryClient, data: StreamData<T>) => void };

/** Changes what is there; what nobody asked for yet is fetched when somebody does. */
function patch<T>(client: QueryClient, key: readonly unknown[], change: (old: T) => T): void {
  client.setQueryData<T>(key, (old) => (old === undefined ? undefined : change(old)));
}

function patchAll<T>(client: QueryClient, prefix: readonly unknown[], change: (old: T) => T): void {
  client.setQueriesData<T>({ queryKey: prefix }, (old) => (old === undefined ? undefined : change(old)));
}

function quietly(work: Promise<unknown>): void {
  // a failed refetch is shown by the query that failed
  work.catch(() => undefined);
}

/** When Trades were last asked for, or that they will be. */
const trades = new WeakMap<QueryClient, { at: number; planned: boolean }>();

/** At once after a quiet time, else when the time is up: totals run over everything, only the runtime adds them up. */
function refetchTrades(client: QueryClient): void {
  const known = trades.get(client);
  if (known?.planned) {
    return;
  }
  const wait = Math.max(0, (known?.at ?? -Infinity) + TRADES_EVERY_MS - Date.now());
  trades.set(client, { at: known?.at ?? -Infinity, planned: true });
  setTimeout(() => {
    trades.set(client, { at: Date.now(), planned: false });
    quietly(client.invalidateQueries({ queryKey: ['trades'] }));
  }, wait);
}

export const HANDLERS: Handlers = {
  heartbeat: () => undefined,
  reset: (client) => quietly(client.invalidateQueries()),
  price: (client, data) => {
    patch(client, keys.market, (old: Parameters<typeof withPrice>[0]) => withPrice(old, data));
    patchAll(client, ['candles', data.pair], (old: Parameters<typeof withTick>[0]) => withTick(old, data));
  },
  overview: (client, data) => {
    patch(client, keys.overview, (old: Overview) => withOverview(old, data));
    patchAll(client, ['equity', 'account'], (old: Parameters<typeof withEquity>[0]) =>
      withEquity(old, data.at, data.equity),
    );
  },
  bot: (client, data) => {
    patch(client, keys.bots, (old: Parameters<typeof withBot>[0]) => withBot(old, data));
    client.setQueryData<Bot>(keys.bot(data.id), data);
  },
  'bot-deleted': (client, data) => {
    patch(client, keys.bots, (old: Parameters<typeof withoutBot>[0]) => withoutBot(old, data.id));
    quietly(client.invalidateQueries({ queryKey: keys.overview }));
  },
  order: (client, data) => {
    patch(client, keys.orders(data.botId, 'open'), (old: Parameters<typeof withOpenOrder>[0]) =>
      withOpenOrder(old, data),
    );
    patch(client, keys.orders(data.botId, 'all'), (old: Parameters<typeof withOpenOrder>[0]) => withEntry(old, data));
  },
  fill: (client, data) => {
    patch(client, keys.overview, (old: Overview) => withLastFill(old, data));
    patch(client, keys.fills(data.botId), (old: Parameters<typeof withEntry<typeof data>>[0]) => withEntry(old, data));
    refetchTrades(client);
  },
  event: (client, data) => {
    if (data.botId !== null) {
      patch(client, keys.events(data.botId), (old: Parameters<typeof withEntry<typeof data>>[0]) =>
        withEntry(old, data),
      );
    }
  },
};
