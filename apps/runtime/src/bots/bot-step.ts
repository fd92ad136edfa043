import { stepGrid, type GridEffect, type GridEvent, type OrderRequest } from '#libs/trading';
import { marketOf } from '../exchange/markets.js';
import type { BotRecord } from './bot-record.js';
import type { BotChange, NewEvent, TradeRow } from './bot-store.js';
import { effectWords, orderWords } from './bot-words.js';

/** Events of one step, and what is known about them from outside the strategy. */
export interface StepInput {
  events: readonly GridEvent[];
  /** Trades the fill events came from, by ref and order of arrival. */
  trades?: readonly TradeRow[];
  dropped?: BotChange['dropped'];
  /** Lines to log before those of the effects. */
  notes?: readonly NewEvent[];
  /** Fields that change besides the grid. */
  change?: Partial<BotRecord>;
}

export interface StepOutput extends Omit<BotChange, 'money' | 'report'> {
  cancels: readonly number[];
  /** False when nothing changed: then nothing is stored. */
  changed: boolean;
  ended: boolean;
}

/** Runs events through the strategy and works out what to store: pure, so that a crash can repeat it. */
export function stepBot(before: BotRecord, input: StepInput, now: Date): StepOutput {
  const orders: OrderRequest[] = [];
  const cancels: number[] = [];
  const fills: { trade: TradeRow; cellProfit: string | null }[] = [];
  const notes: NewEvent[] = [...(input.notes ?? [])];
  const trades = [...(input.trades ?? [])];
  const { base } = marketOf(before.pair);
  let grid = before.grid;
  let after: BotRecord = { ...before, ...input.change };
  let ended = false;
  for (const event of input.events) {
    const result = stepGrid(grid, event);
    grid = result.state;
    orders.push(...result.orders);
    cancels.push(...result.cancels);
    for (const effect of result.effects) {
      const trade = effect.kind === 'filled' ? trades.shift() : undefined;
      if (effect.kind === 'filled' && trade) {
        fills.push({ trade, cellProfit: effect.cellProfit });
      }
      const words = effectWords(effect, trade ? { ...trade, base } : null);
      if (words) {
        notes.push(words);
      }
      after = afterEffect(after, effect, now);
      ended ||= effect.kind === 'ended';
    }
  }
  after = { ...after, grid };
  const dropped = input.dropped ?? [];
  const changed =
    grid !== before.grid || input.change !== undefined || fills.length + dropped.length + notes.length > 0;
  const events = [...notes, ...orderWords(orders, base)];
  return { before, after, orders, cancels, fills, dropped, events, now, changed, ended };
}

function afterEffect(record: BotRecord, effect: GridEffect, now: Date): BotRecord {
  if (effect.kind === 'failed') {
    return { ...record, state: 'error', reason: effect.reason, since: now };
  }
  if (effect.kind === 'ended') {
    const reason = effectWords(effect, null)?.text ?? null;
    return {
      ...record,
      state: 'stopped',
      reason: effect.reason === 'user' ? null : reason,
      endedBy: effect.reason,
      since: now,
      stoppedAt: now,
      finalPrice: effect.price,
    };
  }
  return record;
}
