import fc from 'fast-check';
import { dec } from './decimal.js';
import { refusal, roundPrice, floorQuantity, ceilQuantity, type MarketRules } from './market.js';
import { matchOrder, type PaperOrder } from './paper-exchange.js';
import { stepWalk, walkPrice, WALK_START, type WalkParams } from './price-walk.js';

const RULES: MarketRules = { tick: '0.1', step: '0.00001', minNotional: '5', fee: '0.001' };
const market = (partialChance: number, seed = 7) => ({ rules: RULES, seed, partialChance });
const order = (change: Partial<PaperOrder> = {}): PaperOrder => ({
  id: 'a1',
  side: 'buy',
  price: '64000',
  quantity: '0.01',
  filled: '0',
  ...change,
});
const at = (price: string, key = '1', arriving = false) => ({ price, key, arriving });

describe('matching', () => {
  it('trades a resting order at its own price, with the fee in quote currency', () => {
    expect(matchOrder(order(), at('63900'), market(0))).toEqual({
      orderId: 'a1',
      price: '64000',
      quantity: '0.01',
      fee: '0.64',
    });
  });

  it('trades an arriving marketable order and a market order at the present price', () => {
    expect(matchOrder(order(), at('63900', '1', true), market(0))?.price).toBe('63900');
    expect(matchOrder(order({ price: null, side: 'sell' }), at('63900'), market(1))).toMatchObject({
      price: '63900',
      quantity: '0.01',
    });
  });

  it('does not trade what the price has not reached', () => {
    expect(matchOrder(order(), at('64000.1'), market(0))).toBeNull();
    expect(matchOrder(order({ side: 'sell' }), at('63999.9'), market(0))).toBeNull();
  });

  it('fills partly by the seed, always on the step, and completes in the end', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 100_000 }), (seed, steps) => {
        let filled = dec(0);
        const quantity = dec(steps).times(RULES.step);
        let trades = 0;
        for (let i = 0; i < 500 && filled.lt(quantity); i += 1) {
          const now = order({ quantity: quantity.toFixed(), filled: filled.toFixed() });
          const trade = matchOrder(now, at('63000', String(i)), market(0.5, seed));
          expect(trade).toEqual(matchOrder(now, at('63000', String(i)), market(0.5, seed)));
          expect(
            dec(trade?.quantity ?? 0)
              .mod(RULES.step)
              .isZero(),
          ).toBe(true);
          filled = filled.plus(trade?.quantity ?? 0);
          trades += 1;
        }
        expect(filled.eq(quantity)).toBe(true);
        expect(trades).toBeGreaterThan(0);
      }),
      { numRuns: 50 },
    );
  });

  it('does fill partly now and then', () => {
    const parts = Array.from({ length: 50 }, (_, i) => matchOrder(order(), at('63000', String(i)), market(0.5)));
    const partial = parts.filter((trade) => trade?.quantity !== '0.01').length;
    expect(partial).toBeGreaterThan(10);
    expect(partial).toBeLessThan(40);
  });
});

describe('rules of an exchange', () => {
  it('rounds prices to the tick and quantities to the step', () => {
    expect(roundPrice(dec('64980.44'), '0.1').toFixed()).toBe('64980.4');
    expect(roundPrice(dec('64980.46'), '0.1').toFixed()).toBe('64980.5');
    expect(floorQuantity(dec('0.001569'), '0.00001').toFixed()).toBe('0.00156');
    expect(ceilQuantity(dec('0.001561'), '0.00001').toFixed()).toBe('0.00157');
  });

  it.each([
    [{ price: '64000.05', quantity: '0.01', type: 'limit' as const }, /tick/],
    [{ price: '64000', quantity: '0.000015', type: 'limit' as const }, /step/],
    [{ price: '64000', quantity: '0.00007', type: 'limit' as const }, /minimum/],
    [{ price: '64000', quantity: '0', type: 'market' as const }, /above zero/],
    [{ price: '-1', quantity: '1', type: 'limit' as const }, /above zero/],
  ])('refuses %j', (bad, reason) => {
    const found = refusal(bad, RULES);
    expect(found?.text).toMatch(reason);
    // The words can be said again from the code's figures.
    expect(Object.values(found?.params ?? {}).filter((value) => !found?.text.includes(value))).toEqual([]);
  });

  it('takes a good order, and any present price for a market order', () => {
    expect(refusal({ price: '64000', quantity: '0.01', type: 'limit' }, RULES)).toBeNull();
    expect(refusal({ price: '64000.05', quantity: '0.01', type: 'market' }, RULES)).toBeNull();
  });
});

describe('price walk', () => {
  const params = (seed: number): WalkParams => ({ seed, pair: 'BTC/USDT', start: '65000', tick: '0.1' });
  const walk = (seed: number, steps: number, from = WALK_START): { prices: number[]; state: typeof WALK_START } => {
    let state = from;
    const prices: number[] = [];
    for (let i = 0; i < steps; i += 1) {
      state = stepWalk(state, params(seed));
      prices.push(Number(walkPrice(state, params(seed))));
    }
    return { prices, state };
  };

  it('repeats with its seed, differs with another, and goes on from a stored state', () => {
    const whole = walk(3, 200);
    expect(walk(3, 200).prices).toEqual(whole.prices);
    expect(walk(4, 200).prices).not.toEqual(whole.prices);
    const half = walk(3, 100);
    const rest = walk(3, 100, JSON.parse(JSON.stringify(half.state)) as typeof WALK_START);
    expect([...half.prices, ...rest.prices]).toEqual(whole.prices);
  });

  it('stays on the tick, above zero and near where it began', () => {
    const { prices } = walk(11, 5_000);
    expect(prices.every((price) => price > 50_000 && price < 80_000)).toBe(true);
    expect(prices.every((price) => Math.abs(price * 10 - Math.round(price * 10)) < 1e-6)).toBe(true);
  });

  it('reaches a level 0.1 % below within 120 steps nearly always', () => {
    let reached = 0;
    for (let seed = 0; seed < 100; seed += 1) {
      const settled = walk(seed, 300);
      const from = settled.prices.at(-1) ?? 0;
      const next = walk(seed, 120, settled.state).prices;
      reached += next.some((price) => price <= from * (1 - 0.001)) ? 1 : 0;
    }
    expect(reached).toBeGreaterThanOrEqual(93);
  });
});
