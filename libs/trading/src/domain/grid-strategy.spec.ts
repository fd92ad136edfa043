import fc from 'fast-check';
import { gridParamsSchema, type GridParams } from '#libs/contracts';
import { dec, sum, text, type Amount } from './decimal.js';
import { gridAccount } from './grid-ledger.js';
import { gridProblems } from './grid-problems.js';
import { newGrid, type GridEffect, type GridEvent, type GridState, type OrderRequest } from './grid-state.js';
import { stepGrid } from './grid-strategy.js';
import { floorQuantity, refusal, roundPrice, type MarketRules } from './market.js';
import { crosses, matchOrder, type PaperMarket, type PaperOrder } from './paper-exchange.js';

const RULES: MarketRules = { tick: '0.1', step: '0.00001', minNotional: '5', fee: '0.001' };

/** A bot on a paper exchange, in memory: what the runtime does with a database between. */
class Simulation {
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

const grid = (change: Partial<GridParams> = {}): GridParams => ({
  ...gridParamsSchema.parse({ lower: '60000', upper: '72000', grids: 12, mode: 'arith', investment: '1200' }),
  ...change,
});
const start = (change: Partial<GridParams> = {}, price = '64980.4'): Simulation =>
  new Simulation(grid(change), price).start();

/** What must hold after every event, whatever happened. */
function checkInvariants(sim: Simulation): void {
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

describe('start', () => {
  it('buys the base of the upper cells at market, then places sells above and buys below one empty level', () => {
    const sim = start();
    expect(sim.requests[0]).toMatchObject({
      type: 'limit',
      side: 'buy',
      purpose: 'start',
      quantity: '0.01092',
      // A hundredth above the price: bought at the price, and at no more than that.
      price: '65630.2',
    });
    expect(sim.live('sell')).toEqual(['66000', '67000', '68000', '69000', '70000', '71000', '72000']);
    expect(sim.live('buy')).toEqual(['60000', '61000', '62000', '63000', '64000']);
    expect(sim.state.phase).toBe('active');
    checkInvariants(sim);
  });

  it('buys nothing above the range and everything below it', () => {
    expect(start({}, '75000').live('buy')).toHaveLength(12);
    const below = start({}, '59000');
    expect(below.live('sell')).toHaveLength(12);
    checkInvariants(below);
  });

  it('never pays more than the investment when the price runs away from the start order', () => {
    const sim = new Simulation(grid(), '59000').slipping([{ move: 0.03, part: 1 }]).start();
    expect(sim.requests[0]).toMatchObject({ side: 'buy', purpose: 'start', type: 'limit' });
    checkInvariants(sim);
    sim.to('60770');
    expect(sim.state.phase).toBe('active');
    expect(dec(gridAccount(sim.state, sim.price).base).gt('0.019')).toBe(true);
    checkInvariants(sim);
  });

  it('orders what a start order left over anew, at the price of then', () => {
    const sim = new Simulation(grid(), '64980.4').slipping([{ move: 0, part: 0.4 }]).start();
    expect(sim.state.phase).toBe('starting');
    sim.to('66500');
    expect(sim.state.phase).toBe('active');
    expect(sim.requests.filter(({ purpose }) => purpose === 'start')).toHaveLength(2);
    checkInvariants(sim);
  });

  it('leaves no base without an order that sells it, when the start order ends in the middle of a cell', () => {
    const params = grid({ lower: '9000', upper: '9370', grids: 20, mode: 'geo', investment: '200' });
    const sim = new Simulation(params, '8800')
      .slipping([{ move: 0, part: 0 }])
      .start()
      .to('9078');
    expect(sim.state.phase).toBe('active');
    const base = sum(sim.state.cells.map(({ held }) => held));
    const sells = [...sim.book.values()].filter(({ side }) => side === 'sell');
    expect(text(sum(sells.map(({ quantity }) => quantity)))).toBe(text(base));
    checkInvariants(sim);
    // What the last cell could not sell by itself went to its neighbour, with what it had cost.
    sim.to('9400');
    expect(gridAccount(sim.state, sim.price).base).toBe('0');
    checkInvariants(sim);
  });

  it('waits for the trigger price, from either side', () => {
    const sim = start({ triggerPrice: '64000' });
    expect(sim.state.phase).toBe('waiting');
    sim.to('64500', '64000.1');
    expect(sim.requests).toEqual([]);
    sim.to('63990');
    expect(sim.state.phase).toBe('active');
    expect(start({ triggerPrice: '66000' }).to('66100').state.phase).toBe('active');
  });

  it('is judged by the price it starts at, when that jumped past the trigger price', () => {
    const sim = start({ triggerPrice: '64000', stopLoss: '59000' }).to('58900');
    expect(sim.effects.at(-1)).toMatchObject({ kind: 'failed', problem: { code: 'stop_loss' } });
    expect(sim.requests).toEqual([]);
    const below = start({ triggerPrice: '64000' }).to('59500');
    expect(below.state.firstHeld).toBe(0);
  });

  it('fails in words when the parameters became untradable', () => {
    const sim = start({ stopLoss: '59000', triggerPrice: '58000' });
    sim.to('57900');
    expect(sim.effects.at(-1)).toMatchObject({ kind: 'failed', code: 'STRATEGY_INVALID' });
    expect(sim.state.phase).toBe('idle');
  });

  it('buys less below when the start order cost more than planned', () => {
    const sim = new Simulation(grid(), '64980.4');
    sim.feed({ type: 'start', price: '64980.4' });
    const slipped = new Simulation(grid({ investment: '1194.4' }), '64980.4');
    const result = stepGrid(slipped.state, { type: 'start', price: '64980.4' });
    const order = result.orders[0];
    const fee = text(
      dec(order?.quantity ?? 0)
        .times('66000')
        .times('0.001'),
    );
    const after = stepGrid(result.state, {
      type: 'fill',
      ref: order?.ref ?? 0,
      price: '66000',
      quantity: order?.quantity ?? '0',
      fee,
      now: '66000',
    });
    const needed = sum(
      after.orders
        .filter(({ side }) => side === 'buy')
        .map((o) =>
          dec(o.price ?? 0)
            .times(o.quantity)
            .times('1.001'),
        ),
    );
    expect(needed.gt(0) && needed.lte(after.state.cash)).toBe(true);
  });
});

describe('counter orders', () => {
  it('sells one level above a purchase and credits the cell', () => {
    const sim = start().to('64000');
    expect(sim.live('buy')).toEqual(['60000', '61000', '62000', '63000']);
    expect(sim.live('sell')[0]).toBe('65000');
    sim.to('65000');
    // 0.00156 × (1000 − 64 − 65)
    expect(sim.state.gridProfit).toBe('1.35876');
    expect(sim.state.cellsClosed).toBe(1);
    expect(sim.live('buy').at(-1)).toBe('64000');
    checkInvariants(sim);
  });

  it('buys one level below a sale and credits from the level, not from the start price', () => {
    const sim = start().to('66000');
    expect(sim.live('buy').at(-1)).toBe('65000');
    // 0.00156 × 1000 less 0.1 % of 66 000 and of the start price 64 980.4
    expect(sim.state.gridProfit).toBe(text(dec('0.00156').times(1000).minus(dec('0.00156').times('130.9804'))));
    checkInvariants(sim);
  });

  it('places one for the filled part only, when the price turns and the part is worth the minimum', () => {
    const sim = start();
    const ref = [...sim.book.values()].find(({ price }) => price === '64000')?.request.ref ?? 0;
    sim.price = '64000';
    sim.fill(ref, { price: '64000', quantity: '0.001', fee: '0.064' });
    expect(sim.live('buy')).toContain('64000');
    sim.to('64499');
    expect(sim.live('sell')[0]).toBe('66000');
    sim.to('64501');
    expect(sim.live('buy')).not.toContain('64000');
    const counter = sim.requests.at(-1);
    expect(counter).toMatchObject({ side: 'sell', price: '65000', quantity: '0.001' });
    checkInvariants(sim);
    // And after the sale the cell buys its full quantity again.
    sim.to('65000');
    expect(sim.requests.at(-1)).toMatchObject({ side: 'buy', price: '64000', quantity: '0.00156' });
  });

  it('places none for a part below the minimum', () => {
    const sim = start();
    const ref = [...sim.book.values()].find(({ price }) => price === '64000')?.request.ref ?? 0;
    sim.fill(ref, { price: '64000', quantity: '0.00005', fee: '0.0032' });
    const before = sim.requests.length;
    sim.feed({ type: 'price', price: '64990' });
    expect(sim.requests).toHaveLength(before);
    expect(sim.live('buy')).toContain('64000');
  });

  it('keeps the rest of a purchase at its level while the cell below sells at the same one', () => {
    const sim = start();
    const ref = [...sim.book.values()].find(({ price }) => price === '64000')?.request.ref ?? 0;
    sim.price = '63000';
    sim.fill(ref, { price: '64000', quantity: '0.001', fee: '0.064' });
    const below = [...sim.book.values()].find(({ price }) => price === '63000')?.request.ref ?? 0;
    sim.fill(below, { price: '63000', quantity: '0.00156', fee: '0.09828' });
    sim.feed({ type: 'price', price: '63000' });
    expect(sim.live('buy').at(-1)).toBe('64000');
    expect(sim.live('sell')[0]).toBe('64000');
    checkInvariants(sim);
  });

  it('buys the rest of a cell whose part was turned into a sale, once the price is at its lower level', () => {
    const sim = start();
    const ref = [...sim.book.values()].find(({ price }) => price === '64000')?.request.ref ?? 0;
    sim.price = '64000';
    sim.fill(ref, { price: '64000', quantity: '0.001', fee: '0.064' });
    sim.to('64600');
    expect(sim.requests.at(-1)).toMatchObject({ side: 'sell', price: '65000', quantity: '0.001' });
    const placed = sim.requests.length;
    // Around the middle of the cell it stays as it is: each turn would cost a cancel and an order.
    sim.to('64400', '64600', '64100');
    expect(sim.requests).toHaveLength(placed);
    sim.to('59900');
    expect(sim.live('buy')).toEqual([]);
    expect(sim.state.cells.every(({ held, quantity }) => held === quantity)).toBe(true);
    checkInvariants(sim);
  });

  it('idles outside the range and resumes on return', () => {
    const sim = start().to('73000');
    expect([sim.live('sell'), sim.live('buy').length]).toEqual([[], 12]);
    expect(gridAccount(sim.state, sim.price).base).toBe('0');
    const placed = sim.requests.length;
    sim.to('74000', '73500');
    expect(sim.requests).toHaveLength(placed);
    expect(sim.effects.filter(({ kind }) => kind === 'range')).toEqual([
      { kind: 'range', range: 'above', price: '73000' },
    ]);
    sim.to('70900');
    expect(sim.live('sell')).toEqual(['72000']);
    sim.to('59000');
    expect([sim.live('buy'), sim.live('sell').length]).toEqual([[], 12]);
    checkInvariants(sim);
  });
});

describe('end', () => {
  it('sells everything at the stop-loss', () => {
    const sim = start({ stopLoss: '58500', onExit: 'sell' }).to('58500');
    expect(sim.state.phase).toBe('ended');
    expect(sim.book.size).toBe(0);
    const account = gridAccount(sim.state, sim.price);
    expect(account.base).toBe('0');
    // The preview's figure for the same fall, to the cent.
    expect(dec(account.pnl.total).toFixed(2)).toBe('-100.35');
    checkInvariants(sim);
  });

  it('keeps the base where asked, and acts on the stop-loss even while paused', () => {
    const sim = start({ stopLoss: '58500', onExit: 'keep' });
    sim.feed({ type: 'pause' });
    sim.to('58400');
    expect(sim.effects.at(-1)).toEqual({ kind: 'ended', reason: 'stop_loss', price: '58400' });
    expect(dec(gridAccount(sim.state, sim.price).base).gt(0)).toBe(true);
    expect(sim.book.size).toBe(0);
  });

  it('ends at the take-profit with the gain of the preview', () => {
    const sim = start({ takeProfit: '72500' }).to('72500');
    expect(sim.effects.at(-1)).toMatchObject({ kind: 'ended', reason: 'take_profit' });
    expect(dec(gridAccount(sim.state, sim.price).pnl.total).toFixed(2)).toBe('42.43');
  });

  it('stops for a person: cancels all, sells or keeps', () => {
    const sold = start();
    sold.feed({ type: 'stop', onExit: 'sell', price: sold.price });
    expect([sold.state.phase, sold.book.size, gridAccount(sold.state, sold.price).base]).toEqual(['ended', 0, '0']);
    const kept = start();
    kept.feed({ type: 'stop', onExit: 'keep', price: kept.price });
    expect(gridAccount(kept.state, kept.price).base).toBe('0.01092');
    checkInvariants(kept);
  });

  it('can be ended without the sale when the exchange refuses it', () => {
    const sim = start();
    const ending = stepGrid(sim.state, { type: 'stop', onExit: 'sell', price: sim.price });
    const events: GridEvent[] = ending.cancels.map((ref) => ({ type: 'cancelled', ref, now: sim.price }));
    let { state } = ending;
    let refs: number[] = [];
    for (const event of events) {
      const result = stepGrid(state, event);
      state = result.state;
      refs = result.orders.map(({ ref }) => ref);
    }
    expect(refs).toHaveLength(1);
    const refused = stepGrid(state, { type: 'rejected', ref: refs[0] ?? 0, reason: 'market closed' });
    expect(refused.state.phase).toBe('ending');
    expect(stepGrid(refused.state, { type: 'stop', onExit: 'sell', price: sim.price }).orders).toHaveLength(1);
    const kept = stepGrid(refused.state, { type: 'stop', onExit: 'keep', price: sim.price });
    expect(kept.effects).toEqual([{ kind: 'ended', reason: 'user', price: sim.price }]);
  });

  it('stops before it began', () => {
    const sim = new Simulation(grid(), '64980.4');
    sim.feed({ type: 'stop', onExit: 'sell', price: sim.price });
    expect(sim.state.phase).toBe('ended');
    expect(sim.requests).toEqual([]);
  });
});

describe('pause', () => {
  it('places nothing new, keeps open orders, books their fills and catches up on resume', () => {
    const sim = start();
    sim.feed({ type: 'pause' });
    const placed = sim.requests.length;
    sim.to('63000');
    expect(sim.requests).toHaveLength(placed);
    expect(sim.live('buy')).toEqual(['60000', '61000', '62000']);
    sim.feed({ type: 'resume', price: '63000' });
    expect(sim.live('sell').slice(0, 2)).toEqual(['64000', '65000']);
    checkInvariants(sim);
  });
});

describe('an order the exchange refuses', () => {
  it('is reported, and tried again on resume', () => {
    const sim = new Simulation(grid(), '64980.4');
    const begun = stepGrid(sim.state, { type: 'start', price: '64980.4' });
    const refused = stepGrid(begun.state, { type: 'rejected', ref: 1, reason: 'market closed' });
    expect(refused.effects).toEqual([{ kind: 'failed', code: 'ORDER_REJECTED', reason: 'market closed' }]);
    expect(stepGrid(refused.state, { type: 'resume', price: '64980.4' }).orders).toMatchObject([{ purpose: 'start' }]);
  });

  it('places nothing more by itself, and still obeys the stop-loss', () => {
    const sim = start({ stopLoss: '58500' });
    const ref = [...sim.book.values()].find(({ price }) => price === '64000')?.request.ref ?? 0;
    sim.book.delete(ref);
    sim.feed({ type: 'rejected', ref, reason: 'market closed' });
    const placed = sim.requests.length;
    sim.to('63000', '67000');
    expect(sim.state.fills).toBeGreaterThan(2);
    expect(sim.requests).toHaveLength(placed);
    sim.to('58500');
    expect(sim.effects.at(-1)).toMatchObject({ kind: 'ended', reason: 'stop_loss' });
    expect(gridAccount(sim.state, sim.price).base).toBe('0');
  });
});

describe('properties', () => {
  const ruleSets: MarketRules[] = [
    RULES,
    { tick: '5', step: '0.01', minNotional: '10', fee: '0.00075' },
    { tick: '0.01', step: '0.0001', minNotional: '1', fee: '0' },
  ];
  const scenario = fc
    .record({
      rules: fc.constantFrom(...ruleSets),
      lower: fc.integer({ min: 900_000, max: 1_000_000 }),
      width: fc.integer({ min: 30_000, max: 400_000 }),
      grids: fc.integer({ min: 2, max: 30 }),
      mode: fc.constantFrom('arith' as const, 'geo' as const),
      investment: fc.integer({ min: 200, max: 20_000 }),
      onExit: fc.constantFrom('keep' as const, 'sell' as const),
      stop: fc.boolean(),
      profit: fc.boolean(),
      seed: fc.integer({ min: 0, max: 1_000_000 }),
      partialChance: fc.constantFrom(0, 0.3, 0.9),
      first: fc.integer({ min: 880_000, max: 1_450_000 }),
      slips: fc.array(
        fc.record({
          move: fc.integer({ min: -30, max: 60 }).map((thousandths) => thousandths / 1000),
          part: fc.double({ min: 0, max: 1, noNaN: true }),
        }),
        { maxLength: 4 },
      ),
      moves: fc.array(fc.integer({ min: -40_000, max: 40_000 }), { minLength: 1, maxLength: 40 }),
    })
    .map(({ rules, lower, width, stop, profit, first, moves, seed, partialChance, slips, ...rest }) => {
      // In hundredths, so that levels and prices are seldom whole numbers.
      const onTick = (hundredths: number): Amount => text(roundPrice(dec(hundredths).div(100), rules.tick));
      const params = gridParamsSchema.parse({
        ...rest,
        lower: onTick(lower),
        upper: onTick(lower + width),
        investment: String(rest.investment),
        stopLoss: stop ? onTick(lower - 15_000) : null,
        takeProfit: profit ? onTick(lower + width + 15_000) : null,
      });
      let price = first;
      const path = moves.map((move) => onTick((price = Math.max(800_000, price + move))));
      return { params, rules, first: onTick(first), path, seed, partialChance, slips };
    })
    .filter(({ params, rules, first }) => gridProblems(params, rules, first).every((p) => p.severity === 'warning'));

  it('keeps every invariant on any path, and every order is one an exchange takes', () => {
    fc.assert(
      fc.property(scenario, ({ params, rules, first, path, seed, partialChance, slips }) => {
        const sim = new Simulation(params, first, { partialChance, seed, rules }).slipping(slips).start();
        checkInvariants(sim);
        for (const [i, price] of path.entries()) {
          if (i % 11 === 7) {
            sim.feed({ type: 'pause' });
          }
          sim.to(price);
          checkInvariants(sim);
          if (i % 11 === 9) {
            sim.feed({ type: 'resume', price });
            checkInvariants(sim);
          }
        }
        sim.feed({ type: 'stop', onExit: params.onExit, price: sim.price });
        expect(sim.state.phase).toBe('ended');
        expect(sim.book.size).toBe(0);
        checkInvariants(sim);
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same orders when the same events are replayed, also through JSON', () => {
    fc.assert(
      fc.property(scenario, ({ params, rules, first, path, seed, partialChance }) => {
        const sim = new Simulation(params, first, { partialChance, seed, rules }).start().to(...path);
        let state = newGrid(params, rules);
        const orders: OrderRequest[] = [];
        for (const event of sim.log) {
          const result = stepGrid(JSON.parse(JSON.stringify(state)) as GridState, event);
          orders.push(...result.orders);
          state = result.state;
        }
        expect(orders).toEqual(sim.requests);
        expect(state).toEqual(sim.state);
      }),
      { numRuns: 40 },
    );
  });

  it('ends in the same state whatever the order of fills that do not cross', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([60, 61, 62, 63, 64], { minLength: 2 }), (levels) => {
        const run = (order: number[]): unknown => {
          const sim = start();
          sim.price = '60000';
          for (const level of order) {
            const price = String(level * 1000);
            const ref = [...sim.book.values()].find((o) => o.price === price && o.side === 'buy')?.request.ref ?? 0;
            const quantity = '0.00156';
            sim.fill(ref, { price, quantity, fee: text(dec(price).times(quantity).times('0.001')) });
          }
          const { cash, gridProfit, cells } = sim.state;
          return { cash, gridProfit, cells: cells.map((cell) => ({ ...cell, order: cell.order?.side })) };
        };
        expect(run(levels)).toEqual(run([...levels].sort((a, b) => a - b)));
      }),
    );
  });

  it('leaves the state alone when a price changes nothing', () => {
    const sim = start();
    expect(stepGrid(sim.state, { type: 'price', price: '64990' }).state).toBe(sim.state);
    expect(crosses({ side: 'buy', price: '64000' }, '64000.1')).toBe(false);
  });
});
