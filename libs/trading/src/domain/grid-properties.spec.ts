import fc from 'fast-check';
import { gridParamsSchema } from '#libs/contracts';
import { dec, text, type Amount } from './decimal.js';
import { gridProblems } from './grid-problems.js';
import { newGrid, type GridState, type OrderRequest } from './grid-state.js';
import { stepGrid } from './grid-strategy.js';
import { roundPrice, type MarketRules } from './market.js';
import { crosses } from './paper-exchange.js';
import { checkInvariants, RULES, Simulation, start } from '../../../../test/support/grid-simulation.js';

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
