import type {
  Bot,
  BotEventList,
  BotList,
  CandleInterval,
  Candles,
  CreateBotInput,
  CreateToken,
  EquitySeries,
  FillList,
  Market,
  OrderList,
  Overview,
  Pair,
  RuntimeMe,
  StopBot,
  TokenCreated,
  TokenView,
  TradeList,
} from '#libs/contracts';
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';
import { request, withQuery } from './http.js';
import { keys, type EquityRange, type TradeFilter } from './keys.js';

const PAGE = 50;
const firstPage: string | null = null;
const nextOf = (page: { next: string | null }) => page.next;

export const meQuery = () =>
  queryOptions({
    queryKey: keys.me,
    queryFn: ({ signal }) => request<RuntimeMe>('/me', { signal }),
    staleTime: 5 * 60_000,
  });

export const overviewQuery = () =>
  queryOptions({ queryKey: keys.overview, queryFn: ({ signal }) => request<Overview>('/overview', { signal }) });

export const marketQuery = () =>
  queryOptions({ queryKey: keys.market, queryFn: ({ signal }) => request<Market>('/market', { signal }) });

export const botsQuery = () =>
  queryOptions({ queryKey: keys.bots, queryFn: ({ signal }) => request<BotList>('/bots', { signal }) });

export const botQuery = (id: string) =>
  queryOptions({
    queryKey: keys.bot(id),
    queryFn: ({ signal }) => request<Bot>(`/bots/${encodeURIComponent(id)}`, { signal }),
  });

export const candlesQuery = (pair: Pair, interval: CandleInterval) =>
  queryOptions({
    queryKey: keys.candles(pair, interval),
    queryFn: ({ signal }) => request<Candles>(withQuery('/market/candles', { pair, interval, limit: 500 }), { signal }),
    // the stream moves the last candle; a new one from the source every minute keeps the two together
    refetchInterval: 60_000,
  });

export const equityQuery = (botId: string | null, range: EquityRange) =>
  queryOptions({
    queryKey: keys.equity(botId, range),
    queryFn: ({ signal }) =>
      request<EquitySeries>(
        withQuery(botId === null ? '/equity' : `/bots/${encodeURIComponent(botId)}/equity`, { range }),
        { signal },
      ),
    refetchInterval: range === '1D' ? 60_000 : 5 * 60_000,
  });

export const ordersQuery = (id: string, state: 'open' | 'all') =>
  infiniteQueryOptions({
    queryKey: keys.orders(id, state),
    queryFn: ({ signal, pageParam }) =>
      request<OrderList>(
        withQuery(`/bots/${encodeURIComponent(id)}/orders`, { state, cursor: pageParam, limit: 200 }),
        { signal },
      ),
    initialPageParam: firstPage,
    getNextPageParam: nextOf,
  });

export const fillsQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: keys.fills(id),
    queryFn: ({ signal, pageParam }) =>
      request<FillList>(withQuery(`/bots/${encodeURIComponent(id)}/fills`, { cursor: pageParam, limit: PAGE }), {
        signal,
      }),
    initialPageParam: firstPage,
    getNextPageParam: nextOf,
  });

export const eventsQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: keys.events(id),
    queryFn: ({ signal, pageParam }) =>
      request<BotEventList>(withQuery(`/bots/${encodeURIComponent(id)}/events`, { cursor: pageParam, limit: PAGE }), {
        signal,
      }),
    initialPageParam: firstPage,
    getNextPageParam: nextOf,
  });

export const tradesQuery = (filter: TradeFilter) =>
  infiniteQueryOptions({
    queryKey: keys.trades(filter),
    queryFn: ({ signal, pageParam }) =>
      request<TradeList>(withQuery('/trades', { ...filter, cursor: pageParam, limit: PAGE }), { signal }),
    initialPageParam: firstPage,
    getNextPageParam: nextOf,
  });

export const tokensQuery = () =>
  queryOptions({
    queryKey: keys.tokens,
    queryFn: ({ signal }) => request<{ items: TokenView[] }>('/tokens', { signal }),
  });

/** The address of the file with every trade that matches, not only those on the page. */
export function tradesCsvHref(filter: TradeFilter): string {
  return `/api/v1${withQuery('/trades.csv', { ...filter })}`;
}

export type BotAction = 'start' | 'pause' | 'resume';

export function createBot(body: CreateBotInput, idempotencyKey: string): Promise<Bot> {
  return request<Bot>('/bots', { method: 'POST', body, idempotencyKey });
}
export function actOnBot(id: string, action: BotAction): Promise<Bot> {
  return request<Bot>(`/bots/${encodeURIComponent(id)}/${action}`, { method: 'POST' });
}
export function stopBot(id: string, body: StopBot): Promise<Bot> {
  return request<Bot>(`/bots/${encodeURIComponent(id)}/stop`, { method: 'POST', body });
}
export function deleteBot(id: string): Promise<void> {
  return request<void>(`/bots/${encodeURIComponent(id)}`, { method: 'DELETE' });
}
export function mintToken(body: CreateToken): Promise<TokenCreated> {
  return request<TokenCreated>('/tokens', { method: 'POST', body });
}
export function revokeToken(id: string): Promise<void> {
  return request<void>(`/tokens/${encodeURIComponent(id)}`, { method: 'DELETE' });
}
