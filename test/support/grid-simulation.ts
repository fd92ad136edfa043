import { gridParamsSchema, type GridParams } from '#libs/contracts';
import { dec, sum, text, type Amount } from '../../libs/trading/src/domain/decimal.js';
import { gridAccount } from '../../libs/trading/src/domain/grid-ledger.js';
import {
  newGrid,
  type GridEffect,
  type GridEvent,
  type GridState,
  type OrderRequest,
} from '../../libs/trading/src/domain/grid-state.js';
import { stepGrid } from '../../libs/trading/src/domain/grid-strategy.js';
import { floorQuantity, refusal, roundPrice, type MarketRules } from '../../libs/trading/src/domain/market.js';
import {
  crosses,
  matchOrder,
  type PaperMarket,
  type PaperOrder,
} from '../../libs/trading/src/domain/paper-exchange.js';

export const RULES: MarketRules = { tick: '0.1', step: '0.00001', minNotional: '5', fee: '0.001' };

/** A bot on a paper exchange, in memory: what the runtime does with a database between. */
export class Simulation {
  state: GridState;
  price: Amount;
  readonly rules: MarketRules;
  private readonly market: PaperMarket;
  readonly book = new Map<number, PaperOrder & { request: OrderRequest }>();
  readonly log: GridEvent[] = [];
  readonly requests: OrderRequest[] = [];
  readonly effects: GridEffect[] = [];
  /** What the exchange did: the books are checked against it. */
  readonly trades: { side: 'buy' | 'sell'; price: Amount; quantity: Amount; fee: Amount }[] = [];
  private readonly slips: { move: number; part: number }[] = [];
  private steps = 0;

  constructor(
    readonly params: GridParams,
    price: Amount,
    { partialChance = 0, seed = 1, rules = RULES } = {},
  ) {
    this.market = { rules, seed, partialChance };
    this.rules = rules;
    this.state = newGrid(params, rules);
    this.price = price;
  }

  feed(event: GridEvent): void {
    this.log.push(event);
    const before = this.state;
    const result = stepGrid(before, event);
    this.state = result.state;
    const silent = before.phase === 'ended' || before.phase === 'ending' || (before.paused && event.type !== 'resume');
    if (silent && result.orders.some(({ purpose }) => purpose !== 'exit')) {
      throw new Error(`placed an order while ${before.paused ? 'paused' : before.phase}`);
    }
    this.effects.push(...result.effects);
    this.requests.push(...result.orders);
    for (const request of result.orders) {
      const reason = refusal({ ...request, price: request.price ?? this.price }, this.rules);
      if (reason) {
        throw new Error(`refused: ${reason.text}`);
      }
      const { ref, side, price, quantity } = request;
      this.book.set(ref, { id: String(ref), side, price, quantity, filled: '0', request });
    }
    for (const request of result.orders) {
      const slip = request.purpose === 'start' ? this.slips.shift() : undefined;
      if (slip) {
        this.price = text(roundPrice(dec(this.price).times(1 + slip.move), this.rules.tick));
        this.matchPart(request, slip.part);
      } else {
        this.match(request.ref, true);
      }
    }
    for (const ref of result.cancels) {
      this.book.delete(ref);
      this.feed({ type: 'cancelled', ref, now: this.price });
    }
  }

  /** For each start order in turn: how far the price moves before it arrives, and which part of it fills then. */
  slipping(slips: readonly { move: number; part: number }[]): this {
    this.slips.push(...slips);
    return this;
  }

  start(): this {
    this.feed({ type: 'start', price: this.price });
    return this;
  }

  to(...prices: Amount[]): this {
    for (const price of prices) {
      this.price = price;
      this.steps += 1;
      // The orders as they are now: what this step places waits for the next one.
      const resting = [...this.book.keys()];
      resting.forEach((ref) => this.match(ref, false));
      this.feed({ type: 'price', price });
    }
    return this;
  }

  match(ref: number, arriving: boolean): void {
    const order = this.book.get(ref);
    const at = { price: this.price, key: String(this.steps), arriving };
    const trade = order && matchOrder(order, at, this.market);
    if (!order || !trade) {
      return;
    }
    this.fill(ref, trade);
  }

  private matchPart({ ref, price, quantity, side }: OrderRequest, part: number): void {
    const taken = floorQuantity(dec(quantity).times(part), this.rules.step);
    if (taken.gt(0) && crosses({ side, price }, this.price)) {
      const fee = text(taken.times(this.price).times(this.rules.fee));
      this.fill(ref, { price: this.price, quantity: text(taken), fee });
    }
  }

  fill(ref: number, trade: { price: Amount; quantity: Amount; fee: Amount }): void {
    const order = this.book.get(ref);
    if (!order) {
      throw new Error('no such order');
    }
    order.filled = text(dec(order.filled).plus(trade.quantity));
    if (dec(order.filled).gte(order.quantity)) {
      this.book.delete(ref);
    }
    const { price, quantity, fee } = trade;
    this.trades.push({ side: order.side, price, quantity, fee });
    this.feed({ type: 'fill', ref, price, quantity, fee, now: this.price });
  }

  live(side: 'buy' | 'sell'): string[] {
    return [...this.book.values()]
      .filter((order) => order.side === side)
      .map((order) => order.price ?? 'market')
      .sort((a, b) => dec(a).cmp(b));
  }
}

export const grid = (change: Partial<GridParams> = {}): GridParams => ({
  ...gridParamsSchema.parse({ lower: '60000', upper: '72000', grids: 12, mode: 'arith', investment: '1200' }),
  ...change,
});
export const start = (change: Partial<GridParams> = {}, price = '64980.4'): Simulation =>
  new Simulation(grid(change), price).start();

/** What must hold after every event, whatever happened. */
export function checkInvariants(sim: Simulation): void {
  const { state, price, params } = sim;
  const live = [...sim.book.values()].filter(({ request }) => request.purpose === 'grid');
  const cells = live.map(({ request }) => request.cell);
  expect(new Set(cells).size).toBe(cells.length);
  expect(live.length).toBeLessThanOrEqual(params.grids);
  // But for cells with a part: their rest waits at its level while the cells below go on.
  const whole = live.filter(({ filled, request }) => {
    const cell = state.cells[request.cell ?? -1];
    return filled === '0' && (cell?.held === '0' || cell?.held === cell?.quantity);
  });
  const prices = (side: 'buy' | 'sell') =>
    whole.filter((order) => order.side === side).map((order) => dec(order.price ?? 0));
  expect(prices('buy').every((buy) => prices('sell').every((sell) => buy.lt(sell)))).toBe(true);
  // Base currency that no order sells would lie there for ever.
  if (state.phase === 'active' && !state.paused) {
    expect(state.cells.filter(({ held, order }) => held !== '0' && order === null)).toEqual([]);
  }
  const account = gridAccount(state, price);
  const capacity = sum(state.cells.map((cell) => cell.quantity));
  expect(dec(account.base).gte(0) && dec(account.base).lte(capacity)).toBe(true);
  expect(dec(state.cash).gte(0)).toBe(true);
  expect(state.cells.filter(({ quantity, held }) => dec(quantity).lt(held) || dec(quantity).lt(0))).toEqual([]);
  // Open buy orders are covered by the cash: exposure never exceeds the investment.
  const committed = sum(
    live
      .filter(({ side }) => side === 'buy')
      .map((order) =>
        dec(order.price ?? 0)
          .times(dec(order.quantity).minus(order.filled))
          .times(dec(1).plus(state.rules.fee)),
      ),
  );
  expect(committed.lte(state.cash)).toBe(true);
  const signed = sim.trades.map((trade) => (trade.side === 'buy' ? dec(trade.quantity) : dec(trade.quantity).neg()));
  expect(account.base).toBe(text(sum(signed)));
  const paid = sim.trades.map((trade, i) =>
    dec(trade.price)
      .times(signed[i] ?? 0)
      .plus(trade.fee),
  );
  expect(state.cash).toBe(text(dec(params.investment).minus(sum(paid))));
  const gain = dec(account.equity).minus(params.investment);
  expect(account.pnl.total).toBe(text(gain));
  const parts = dec(account.pnl.grid).plus(account.pnl.unrealised).plus(account.pnl.otherFees);
  expect(text(parts)).toBe(account.pnl.total);
}
