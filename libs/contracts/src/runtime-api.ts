import { z } from 'zod';
import { BOT_MESSAGE_CODES } from './bot-messages.js';
import { uuidSchema } from './names.js';
import { BOT_STATUS, type BotStatus } from './status.js';

/**
 * The HTTP API of a stack's runtime, below `/api/v1` of the dashboard's host (signed-in owner) and of the stack's
 * api host (bearer token). Amounts, prices and percentages-as-fractions are decimal strings, never numbers: quote
 * currency for money, base currency for quantities, `0.0121` for 1.21 %. Times are ISO 8601 in UTC. Failures answer
 * `ErrorBody`. Lists are newest first, in pages: pass `next` back as `cursor`; null means there is no more.
 *
 * GET /me · GET /overview · GET /market · GET /market/candles · GET /equity · GET /trades · GET /trades.csv
 * GET, POST /bots · GET, DELETE /bots/:id · POST /bots/:id/{start,pause,resume,stop} (all answer the bot)
 * GET /bots/:id/{orders,fills,events,equity} · GET, POST /tokens · DELETE /tokens/:id (204) · GET /stream (SSE)
 */
export const RUNTIME_API_PREFIX = '/api/v1';

/** A decimal as text, such as `64980.4` or `-0.71`; no exponent, no plus sign. */
export const decimalSchema = z
  .string()
  .max(40)
  .regex(/^-?(0|[1-9]\d*)(\.\d+)?$/, 'Write a decimal number such as 64980.4.');
export const positiveDecimalSchema = decimalSchema.refine(
  (value) => !value.startsWith('-') && /[1-9]/.test(value),
  'Must be above zero.',
);

export const PAIRS = ['BTC/USDT', 'ETH/USDT'] as const;
export type Pair = (typeof PAIRS)[number];
export const pairSchema = z.enum(PAIRS);

export const CANDLE_INTERVALS = ['1m', '5m', '1h', '1D'] as const;
export type CandleInterval = (typeof CANDLE_INTERVALS)[number];

/** What the exchange accepts for a pair, and its newest price. */
export const marketPairSchema = z.object({
  pair: pairSchema,
  base: z.string(),
  quote: z.string(),
  price: decimalSchema,
  priceAt: z.iso.datetime(),
  /** False when the price is older than it may be; bots on the pair wait meanwhile. */
  fresh: z.boolean(),
  /** Prices are multiples of the tick, quantities of the step; an order is worth at least minNotional. */
  tick: decimalSchema,
  step: decimalSchema,
  minNotional: decimalSchema,
  /** Fee of one side, as a fraction: `0.001` is 0.1 %. */
  fee: decimalSchema,
  /** Price 24 h ago (or the oldest known), for the change of the day. */
  price24hAgo: decimalSchema.nullable(),
});
export type MarketPair = z.infer<typeof marketPairSchema>;
/** Where prices come from. */
export const PRICE_SOURCES = ['simulated'] as const;
/** GET /market; `source` in words, `sourceCode` for translation. */
export const marketSchema = z.object({
  source: z.string(),
  sourceCode: z.enum(PRICE_SOURCES),
  pairs: z.array(marketPairSchema),
});
export type Market = z.infer<typeof marketSchema>;

/** A time to ask about. Markets begin after 1970, and the database knows no year 0. */
const queryTimeSchema = z.iso
  .datetime()
  .refine((value) => Date.parse(value) >= 0, 'Write a time of 1970 or later, such as 2026-01-31T00:00:00Z.');

/** GET /market/candles?pair&interval&to&limit, oldest first. */
export const candlesQuerySchema = z.strictObject({
  pair: pairSchema,
  interval: z.enum(CANDLE_INTERVALS).default('1m'),
  /** Candles that begin before this time; default now. */
  to: queryTimeSchema.optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(300),
});
export const candleSchema = z.object({
  at: z.iso.datetime(),
  open: decimalSchema,
  high: decimalSchema,
  low: decimalSchema,
  close: decimalSchema,
});
export type Candle = z.infer<typeof candleSchema>;
export const candlesSchema = z.object({
  pair: pairSchema,
  interval: z.enum(CANDLE_INTERVALS),
  items: z.array(candleSchema),
});
export type Candles = z.infer<typeof candlesSchema>;

/** The parameters of a grid; its rules are those of `gridPreview` in libs/trading. */
export const gridParamsSchema = z.strictObject({
  lower: positiveDecimalSchema,
  upper: positiveDecimalSchema,
  /** Number of cells between lower and upper; there are grids + 1 levels. */
  grids: z.int().min(2, 'At least 2 grids.').max(200, 'At most 200 grids.'),
  mode: z.enum(['arith', 'geo']).default('arith'),
  /** Quote currency given to the bot. */
  investment: positiveDecimalSchema,
  side: z.enum(['long', 'neutral', 'short']).default('long'),
  /** The bot buys nothing until the price reaches this. */
  triggerPrice: positiveDecimalSchema.nullable().default(null),
  stopLoss: positiveDecimalSchema.nullable().default(null),
  takeProfit: positiveDecimalSchema.nullable().default(null),
  /** What happens to the base currency when stop-loss or take-profit ends the bot. */
  onExit: z.enum(['keep', 'sell']).default('sell'),
  trailingUp: z.boolean().default(false),
});
export type GridParams = z.infer<typeof gridParamsSchema>;

/** What a text says, for whoever translates it; see `BOT_MESSAGES`. */
const messageCodeSchema = z.enum(BOT_MESSAGE_CODES);
const messageParamsSchema = z.record(z.string(), z.string());

/**
 * POST /bots; answers 201 with the bot. `start: true` starts it at once, or makes none where that is not possible. With
 * an `Idempotency-Key` header the same body gives the same bot for 24 hours, NOT_FOUND when that was deleted since;
 * another body IDEMPOTENCY_KEY_REUSED.
 */
export const createBotSchema = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1)
    .max(60)
    .regex(/^[^\p{C}<>]*$/u, 'Use printable characters, without < and >.')
    .optional(),
  pair: pairSchema,
  strategy: z.literal('grid').default('grid'),
  params: gridParamsSchema,
  start: z.boolean().default(false),
});
export type CreateBot = z.infer<typeof createBotSchema>;
export type CreateBotInput = z.input<typeof createBotSchema>;
/** POST /bots/:id/stop. keep: the base currency goes to the account; sell: it is sold at market first. */
export const stopBotSchema = z.strictObject({ onExit: z.enum(['keep', 'sell']) });
export type StopBot = z.infer<typeof stopBotSchema>;

export const BOT_STATES = ['created', 'running', 'paused', 'stopped', 'error'] as const;
export type BotState = (typeof BOT_STATES)[number];

/** total = grid + unrealised + otherFees, to the last digit. */
export const pnlSchema = z.object({
  total: decimalSchema,
  /** Closed cells: quantity × (upper − lower) − the fees of both sides. */
  grid: decimalSchema,
  /** Gain of the price on base currency outside closed cells. */
  unrealised: decimalSchema,
  /** Fees that no closed cell carries yet; zero or negative. */
  otherFees: decimalSchema,
});
export type Pnl = z.infer<typeof pnlSchema>;

export const botLevelSchema = z.object({
  price: decimalSchema,
  /** What waits at this level now; empty where nothing does. */
  side: z.enum(['buy', 'sell', 'empty']),
  quantity: decimalSchema,
});

export const botSchema = z.object({
  id: uuidSchema,
  name: z.string(),
  pair: pairSchema,
  mode: z.literal('paper'),
  strategy: z.literal('grid'),
  params: gridParamsSchema,
  state: z.enum(BOT_STATES),
  /** The word to show: a view of state and reason. */
  status: z.enum(Object.keys(BOT_STATUS) as [BotStatus, ...BotStatus[]]),
  /** Why it is so, in plain words; null when there is nothing to say. */
  reason: z.string().nullable(),
  /** The same for translation; absent where there is no reason, or an old one that has only words. */
  reasonCode: messageCodeSchema.optional(),
  reasonParams: messageParamsSchema.optional(),
  /** Since when the state holds. */
  since: z.iso.datetime(),
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().nullable(),
  stoppedAt: z.iso.datetime().nullable(),
  /** Newest price of the pair; of a stopped bot the price it stopped at. Null before any. */
  price: decimalSchema.nullable(),
  equity: decimalSchema,
  pnl: pnlSchema,
  /** Since 00:00 UTC. */
  today: pnlSchema,
  /** Of the investment, as fractions. */
  totalReturn: decimalSchema,
  maxDrawdown: decimalSchema,
  holdings: z.object({ base: decimalSchema, quote: decimalSchema }),
  openOrders: z.object({ total: z.int(), buys: z.int(), sells: z.int() }),
  cellsClosed: z.int(),
  fills: z.int(),
  /** Quantity of one full cell. Null before the start. */
  cellQuantity: decimalSchema.nullable(),
  levels: z.array(botLevelSchema),
  lastOrderAt: z.iso.datetime().nullable(),
});
export type Bot = z.infer<typeof botSchema>;
export type BotLevel = z.infer<typeof botLevelSchema>;
/** GET /bots; all that are not deleted, newest first. */
export const botListSchema = z.object({ items: z.array(botSchema), limit: z.int() });
export type BotList = z.infer<typeof botListSchema>;

export const pageQuerySchema = z.strictObject({
  cursor: z.string().max(100).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});

export const ORDER_STATES = ['pending', 'open', 'filled', 'cancelled', 'rejected'] as const;
export type OrderState = (typeof ORDER_STATES)[number];
export const orderSchema = z.object({
  id: uuidSchema,
  clientOrderId: z.string(),
  botId: uuidSchema,
  pair: pairSchema,
  side: z.enum(['buy', 'sell']),
  type: z.enum(['limit', 'market']),
  /** start: base for the cells above the price; grid: a level; exit: the sale at the end. */
  purpose: z.enum(['start', 'grid', 'exit']),
  cell: z.int().nullable(),
  price: decimalSchema.nullable(),
  quantity: decimalSchema,
  filled: decimalSchema,
  /** pending: written down, not yet confirmed by the exchange. */
  state: z.enum(ORDER_STATES),
  reason: z.string().nullable(),
  /** The same for translation; absent where there is no reason, or only words. */
  reasonCode: messageCodeSchema.optional(),
  reasonParams: messageParamsSchema.optional(),
  placedAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type Order = z.infer<typeof orderSchema>;
/** GET /bots/:id/orders?state=open|all */
export const ordersQuerySchema = pageQuerySchema.extend({ state: z.enum(['open', 'all']).default('open') });
export const orderListSchema = z.object({ items: z.array(orderSchema), next: z.string().nullable() });
export type OrderList = z.infer<typeof orderListSchema>;

export const fillSchema = z.object({
  id: z.string(),
  botId: uuidSchema,
  botName: z.string(),
  orderId: uuidSchema,
  pair: pairSchema,
  side: z.enum(['buy', 'sell']),
  purpose: z.enum(['start', 'grid', 'exit']),
  cell: z.int().nullable(),
  price: decimalSchema,
  quantity: decimalSchema,
  /** price × quantity. */
  value: decimalSchema,
  fee: decimalSchema,
  /** Net profit of what this sale closed of its cell; null for purchases and exits. */
  cellProfit: decimalSchema.nullable(),
  at: z.iso.datetime(),
});
export type Fill = z.infer<typeof fillSchema>;
/** GET /bots/:id/fills */
export const fillListSchema = z.object({ items: z.array(fillSchema), next: z.string().nullable() });
export type FillList = z.infer<typeof fillListSchema>;

/** GET /trades and /trades.csv (no paging there): fills of all bots, deleted ones too. */
export const tradesQuerySchema = pageQuerySchema.extend({
  bot: uuidSchema.optional(),
  pair: pairSchema.optional(),
  side: z.enum(['buy', 'sell']).optional(),
  from: queryTimeSchema.optional(),
  to: queryTimeSchema.optional(),
});
export const tradeTotalsSchema = z.object({
  count: z.int(),
  bought: decimalSchema,
  sold: decimalSchema,
  fees: decimalSchema,
  cellProfit: decimalSchema,
});
export const tradeListSchema = z.object({
  items: z.array(fillSchema),
  next: z.string().nullable(),
  /** Over everything that matches, not only this page: a column adds up to it. */
  totals: tradeTotalsSchema,
});
export type TradeList = z.infer<typeof tradeListSchema>;

/** GET /bots/:id/events: what happened, in plain words. */
export const botEventSchema = z.object({
  id: z.string(),
  botId: uuidSchema.nullable(),
  at: z.iso.datetime(),
  level: z.enum(['info', 'warn', 'error']),
  /** Stable name such as `bot.started`, `order.placed`, `fill.sell`. */
  kind: z.string(),
  text: z.string(),
  /** The same for translation; absent from events stored without it. */
  code: messageCodeSchema.optional(),
  params: messageParamsSchema.optional(),
});
export type BotEvent = z.infer<typeof botEventSchema>;
export const botEventListSchema = z.object({ items: z.array(botEventSchema), next: z.string().nullable() });
export type BotEventList = z.infer<typeof botEventListSchema>;

export const EQUITY_RANGES = ['1D', '1W', '1M', 'All'] as const;
/** GET /equity?range and /bots/:id/equity?range: at most 500 points, oldest first. */
export const equityQuerySchema = z.strictObject({ range: z.enum(EQUITY_RANGES).default('1D') });
export const equityPointSchema = z.object({ at: z.iso.datetime(), equity: decimalSchema });
export type EquityPoint = z.infer<typeof equityPointSchema>;
export const equitySeriesSchema = z.object({
  range: z.enum(EQUITY_RANGES),
  points: z.array(equityPointSchema),
  maxDrawdown: decimalSchema,
});
export type EquitySeries = z.infer<typeof equitySeriesSchema>;

/** Something a person may want to act on. */
export const needSchema = z.object({
  kind: z.enum(['bot_error', 'out_of_range', 'price_stale', 'token_expiring', 'disk_full']),
  botId: uuidSchema.nullable(),
  botName: z.string().nullable(),
  text: z.string(),
  code: messageCodeSchema.optional(),
  params: messageParamsSchema.optional(),
  since: z.iso.datetime(),
});
export type Need = z.infer<typeof needSchema>;

/** GET /overview */
export const overviewSchema = z.object({
  mode: z.literal('paper'),
  at: z.iso.datetime(),
  quote: z.literal('USDT'),
  equity: decimalSchema,
  /** What the account began with; equity = deposit + allTime.total. */
  deposit: decimalSchema,
  /** Quote currency no bot holds. */
  free: decimalSchema,
  balances: z.array(z.object({ asset: z.string(), amount: decimalSchema, value: decimalSchema })),
  today: pnlSchema,
  allTime: pnlSchema,
  bots: z.object({ total: z.int(), running: z.int(), limit: z.int() }),
  openOrders: z.int(),
  needs: z.array(needSchema),
  /** Since when the portal takes no reports from here; null while it does. Trading does not depend on it. */
  portalAwaySince: z.iso.datetime().nullable(),
  lastFills: z.array(fillSchema),
});
export type Overview = z.infer<typeof overviewSchema>;

/**
 * GET /stream (text/event-stream). Each message has `event:` a type below, `data:` its JSON and an `id:`; send the
 * last one back as Last-Event-ID. A missed stretch that is still known is repeated; else `reset` says: fetch anew.
 * A comment line comes at once and a `heartbeat` every 10 s.
 */
export const STREAM_HEARTBEAT_SECONDS = 10;
export const streamEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('heartbeat'), data: z.object({ at: z.iso.datetime() }) }),
  z.object({ type: z.literal('reset'), data: z.object({ at: z.iso.datetime() }) }),
  z.object({
    type: z.literal('price'),
    data: z.object({ pair: pairSchema, price: decimalSchema, at: z.iso.datetime() }),
  }),
  z.object({ type: z.literal('overview'), data: overviewSchema.omit({ lastFills: true }) }),
  z.object({ type: z.literal('bot'), data: botSchema }),
  z.object({ type: z.literal('bot-deleted'), data: z.object({ id: uuidSchema }) }),
  z.object({ type: z.literal('order'), data: orderSchema }),
  z.object({ type: z.literal('fill'), data: fillSchema }),
  z.object({ type: z.literal('event'), data: botEventSchema }),
]);
export type StreamEvent = z.infer<typeof streamEventSchema>;
export type StreamEventType = StreamEvent['type'];
export type StreamData<T extends StreamEventType> = Extract<StreamEvent, { type: T }>['data'];
