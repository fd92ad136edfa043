import { dec, text, type Amount } from './decimal.js';
import { GridDraft } from './grid-draft.js';
import { planGrid } from './grid-plan.js';
import { problemsAt } from './grid-problems.js';
import type { ExitReason, GridEvent, GridRange, GridResult, GridState } from './grid-state.js';

/**
 * The grid: a pure step. Spot and long: buys at the lower level of a cell, sells at the upper one. Orders and cancels
 * are requests; the state already holds them as live, so the caller must write them down before it sends them.
 */
export function stepGrid(state: GridState, event: GridEvent): GridResult {
  const draft = new GridDraft(state);
  switch (event.type) {
    case 'start':
      start(draft, event.price);
      break;
    case 'price':
      onPrice(draft, event.price);
      break;
    case 'fill':
      onFill(draft, event);
      break;
    case 'cancelled':
      if (draft.dropOrder(event.ref)) {
        advance(draft, event.now);
      }
      break;
    case 'rejected':
      if (draft.dropOrder(event.ref)) {
        // Nothing new by itself until a person resumes it; the protective rules go on, as for any paused bot.
        draft.set({ paused: true });
        draft.effects.push({ kind: 'failed', code: 'ORDER_REJECTED', reason: event.reason });
      }
      break;
    case 'pause':
      draft.set({ paused: true });
      break;
    case 'resume':
      draft.set({ paused: false });
      onPrice(draft, event.price);
      advance(draft, event.price);
      break;
    case 'stop':
      beginExit(draft, 'user', event.onExit === 'sell', event.price);
      break;
  }
  return draft.result();
}

function start(draft: GridDraft, price: Amount): void {
  const { phase, params } = draft.state;
  if (phase !== 'idle') {
    return;
  }
  if (params.triggerPrice !== null && !dec(params.triggerPrice).eq(price)) {
    draft.set({ phase: 'waiting', triggerFrom: dec(price).gt(params.triggerPrice) ? 'above' : 'below' });
    draft.effects.push({ kind: 'waiting_for_trigger', price: params.triggerPrice });
    return;
  }
  enter(draft, price);
}

function enter(draft: GridDraft, price: Amount): void {
  const { params, rules } = draft.state;
  const problem = problemsAt(params, rules, price).find(({ severity }) => severity === 'error');
  if (problem) {
    draft.set({ phase: 'idle' });
    draft.effects.push({ kind: 'failed', code: 'STRATEGY_INVALID', reason: problem.message, problem });
    return;
  }
  const plan = planGrid(params, rules, price);
  draft.set({
    phase: 'starting',
    firstHeld: plan.firstHeld,
    range: rangeOf(draft.state, price),
    cells: plan.levels.slice(1).map((upper, i) => ({
      lower: text(plan.levels[i] ?? upper),
      upper: text(upper),
      quantity: text(plan.quantity),
      held: '0',
      cost: '0',
      buyFees: '0',
      order: null,
    })),
  });
  draft.effects.push({
    kind: 'started',
    price,
    buys: plan.firstHeld,
    sells: params.grids - plan.firstHeld,
  });
  advance(draft, price);
}

function onPrice(draft: GridDraft, price: Amount): void {
  const { phase, params, triggerFrom } = draft.state;
  const now = dec(price);
  if (phase === 'waiting' && params.triggerPrice !== null && !draft.state.paused) {
    if (triggerFrom === 'above' ? now.lte(params.triggerPrice) : now.gte(params.triggerPrice)) {
      enter(draft, price);
    }
    return;
  }
  if (phase !== 'active' && phase !== 'starting') {
    return;
  }
  // The protective rules also guard a paused bot: pausing means nothing new, not unprotected.
  if (params.stopLoss !== null && now.lte(params.stopLoss)) {
    beginExit(draft, 'stop_loss', params.onExit === 'sell', price);
    return;
  }
  if (params.takeProfit !== null && now.gte(params.takeProfit)) {
    beginExit(draft, 'take_profit', params.onExit === 'sell', price);
    return;
  }
  const range = rangeOf(draft.state, price);
  if (range !== draft.state.range) {
    draft.set({ range });
    draft.effects.push({ kind: 'range', range, price });
  }
  if (draft.state.paused) {
    return;
  }
  if (phase === 'active') {
    draft.turnPartialCells(now);
  } else {
    draft.cancelStart();
  }
}

function rangeOf(state: GridState, price: Amount): GridRange {
  return dec(price).gt(state.params.upper) ? 'above' : dec(price).lt(state.params.lower) ? 'below' : 'inside';
}

function onFill(draft: GridDraft, event: Extract<GridEvent, { type: 'fill' }>): void {
  if (draft.bookFill(event)) {
    advance(draft, event.now);
  }
}

/** Places whatever should be live now and is not. Safe to call at any time. */
function advance(draft: GridDraft, price: Amount): void {
  if (draft.state.phase === 'ending') {
    finishExit(draft, price);
    return;
  }
  if (draft.state.paused) {
    return;
  }
  if (draft.state.phase === 'starting' && draft.placeStart(price)) {
    draft.fitCash();
    draft.set({ phase: 'active' });
  }
  if (draft.state.phase === 'active') {
    draft.refresh(dec(price));
  }
}

function beginExit(draft: GridDraft, reason: ExitReason, sell: boolean, price: Amount): void {
  const { phase, exit } = draft.state;
  if (phase === 'ended') {
    return;
  }
  if (phase === 'ending') {
    // Asked again by a person, when the sale at the end was refused: perhaps to keep the base after all.
    draft.set({ exit: exit && { ...exit, sell } });
    finishExit(draft, price);
    return;
  }
  draft.set({ phase: 'ending', exit: { reason, sell, price } });
  draft.effects.push({ kind: 'ending', reason, price });
  draft.cancelAll();
  finishExit(draft, price);
}

function finishExit(draft: GridDraft, price: Amount): void {
  const { exit } = draft.state;
  if (!exit || draft.hasLiveOrders() || (exit.sell && draft.placeExit(price))) {
    return;
  }
  draft.set({ phase: 'ended' });
  draft.effects.push({ kind: 'ended', reason: exit.reason, price });
}
