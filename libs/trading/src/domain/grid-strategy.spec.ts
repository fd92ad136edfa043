import { dec, sum, text } from './decimal.js';
import { gridAccount } from './grid-ledger.js';
import { type GridEvent } from './grid-state.js';
import { stepGrid } from './grid-strategy.js';
import { checkInvariants, grid, Simulation, start } from '../../../../test/support/grid-simulation.js';

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
