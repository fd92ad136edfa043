import { stepGrid, type GridEffect, type GridEvent, type OrderRequest } from '#libs/trading';
import { marketOf } from '../exchange/markets.js';
import type { BotRecord } from './bot-record.js';
import type { BotChange, TradeRow } from './bot-store.js';
import { effectWords, orderWords, type NewEvent } from './bot-words.js';

/** Events of one step, and what is known about them from outside the strategy. */
export interface StepInput {
  events: readonly GridEvent[];
  /** The trade each fill event came from. */
  trades?: ReadonlyMap<GridEvent, TradeRow>;
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
  const market = marketOf(before.pair);
  let grid = before.grid;
  let after: BotRecord = { ...before, ...input.change };
  let ended = false;
  for (const event of input.events) {
    const result = stepGrid(grid, event);
    grid = result.state;
    orders.push(...result.orders);
    cancels.push(...result.cancels);
    for (const effect of result.effects) {
      const trade = effect.kind === 'filled' ? input.trades?.get(event) : undefined;
      if (effect.kind === 'filled' && trade) {
        fills.push({ trade, cellProfit: effect.cellProfit });
      }
      const said = effectWords(effect, market, trade ?? null);
      if (said) {
        notes.push(said);
      }
      after = afterEffect(after, { effect, said }, now);
      ended ||= effect.kind === 'ended';
    }
  }
  after = { ...after, grid, ...(orders.length > 0 ? { lastOrderAt: now } : {}) };
  const dropped = input.dropped ?? [];
  const changed =
    grid !== before.grid || input.change !== undefined || fills.length + dropped.length + notes.length > 0;
  const events = [...notes, ...orderWords(orders, market)];
  return { before, after, orders, cancels, fills, dropped, events, now, changed, ended };
}

function afterEffect(
  record: BotRecord,
  { effect, said }: { effect: GridEffect; said: NewEvent | null },
  now: Date,
): BotRecord {
  const reason = said && { text: said.text, code: said.code, params: said.params };
  if (effect.kind === 'failed') {
    return { ...record, state: 'error', reason, since: now };
  }
  if (effect.kind === 'ended') {
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
