import type { GridParams } from '#libs/contracts';
import type { Amount } from './decimal.js';
import type { GridProblem } from './grid-problems.js';
import type { MarketRules, Side } from './market.js';

/** An order the bot believes to be live. `ref` is its number within the bot; the runtime makes ids from it. */
export interface LiveOrder {
  ref: number;
  side: Side;
  quantity: Amount;
  filled: Amount;
  /** A cancel was asked for; nothing is placed in its stead before `cancelled` arrives. */
  cancelling: boolean;
}

/** One cell: buys at its lower level, sells at its upper one, and never has two live orders. */
export interface Cell {
  lower: Amount;
  upper: Amount;
  /** Base currency of the full cell. */
  quantity: Amount;
  held: Amount;
  /** What the held base cost, without fees, and the fees of buying it. */
  cost: Amount;
  buyFees: Amount;
  order: LiveOrder | null;
}

/**
 * idle: not started. waiting: for the trigger price. starting: the start order is being filled. active: trades.
 * ending: cancels and, where asked, sells. ended: nothing is live any more.
 */
export type GridPhase = 'idle' | 'waiting' | 'starting' | 'active' | 'ending' | 'ended';
export type ExitReason = 'stop_loss' | 'take_profit' | 'user';
export type GridRange = 'inside' | 'above' | 'below';

/** Everything a grid bot is, as JSON: the same state and events give the same orders anywhere. */
export interface GridState {
  params: GridParams;
  rules: MarketRules;
  phase: GridPhase;
  paused: boolean;
  /** Side of the trigger price the price was on at the start. */
  triggerFrom: 'above' | 'below' | null;
  firstHeld: number;
  cells: Cell[];
  /** One order for the base of all held cells, and the one that sells at the end. */
  startOrder: LiveOrder | null;
  exitOrder: LiveOrder | null;
  exit: { reason: ExitReason; sell: boolean; price: Amount } | null;
  cash: Amount;
  /** Σ over sales of quantity × (price − lower level) − fees of both sides. */
  gridProfit: Amount;
  /** Gain on sold base that no cell accounts for: from its cost up to the lower level, or at the exit. */
  carried: Amount;
  /** Fees of the exit and of the purchases it sold. */
  exitFees: Amount;
  cellsClosed: number;
  fills: number;
  range: GridRange;
  nextRef: number;
}

export type GridEvent =
  | { type: 'start'; price: Amount }
  | { type: 'price'; price: Amount }
  | { type: 'fill'; ref: number; price: Amount; quantity: Amount; fee: Amount; now: Amount }
  /** The order is no longer live at the exchange; what was filled of it arrived before. */
  | { type: 'cancelled'; ref: number; now: Amount }
  | { type: 'rejected'; ref: number; reason: string }
  | { type: 'pause' }
  | { type: 'resume'; price: Amount }
  | { type: 'stop'; onExit: 'keep' | 'sell'; price: Amount };

export interface OrderRequest {
  ref: number;
  side: Side;
  type: 'limit' | 'market';
  purpose: 'start' | 'grid' | 'exit';
  cell: number | null;
  /** Limit price; null for a market order. */
  price: Amount | null;
  quantity: Amount;
}

/** What happened, for the log and for the supervisor. */
export type GridEffect =
  | { kind: 'waiting_for_trigger'; price: Amount }
  | { kind: 'started'; price: Amount; buys: number; sells: number }
  | { kind: 'filled'; ref: number; cell: number | null; cellProfit: Amount | null }
  | { kind: 'range'; range: GridRange; price: Amount }
  | { kind: 'ending'; reason: ExitReason; price: Amount }
  | { kind: 'ended'; reason: ExitReason; price: Amount }
  | { kind: 'failed'; code: 'STRATEGY_INVALID'; reason: string; problem: GridProblem }
  | { kind: 'failed'; code: 'ORDER_REJECTED'; reason: string; problem?: undefined };

export interface GridResult {
  state: GridState;
  orders: OrderRequest[];
  /** Refs of orders to cancel. */
  cancels: number[];
  effects: GridEffect[];
}

export function newGrid(params: GridParams, rules: MarketRules): GridState {
  return {
    params,
    rules,
    phase: 'idle',
    paused: false,
    triggerFrom: null,
    firstHeld: 0,
    cells: [],
    startOrder: null,
    exitOrder: null,
    exit: null,
    cash: params.investment,
    gridProfit: '0',
    carried: '0',
    exitFees: '0',
    cellsClosed: 0,
    fills: 0,
    range: 'inside',
    nextRef: 1,
  };
}
