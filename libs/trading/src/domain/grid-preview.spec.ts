import fc from 'fast-check';
import { gridParamsSchema, type GridParams } from '#libs/contracts';
import { dec, text } from './decimal.js';
import { cellProfit, exactLevels, gridLevels } from './grid-levels.js';
import { gridPreview } from './grid-preview.js';
import { GRID_PRESETS, presetParams } from './grid-presets.js';
import { gridProblems } from './grid-problems.js';
import { roundPrice, type MarketRules } from './market.js';

const RULES: MarketRules = { tick: '0.1', step: '0.00001', minNotional: '5', fee: '0.001' };
const PRICE = '64980.4';
const grid = (change: Partial<GridParams> = {}): GridParams => ({
  ...gridParamsSchema.parse({ lower: '60000', upper: '72000', grids: 12, mode: 'arith', investment: '1200' }),
  ...change,
});
const round = (value: string, places: number): string => dec(value).toFixed(places);

describe('levels', () => {
  it('has equal steps', () => {
    const levels = exactLevels({ lower: '100', upper: '150', grids: 5, mode: 'arith' });
    expect(levels.map(text)).toEqual(['100', '110', '120', '130', '140', '150']);
  });

  it('has equal steps in the example of gate.io', () => {
    expect(exactLevels({ lower: '30', upper: '150', grids: 3, mode: 'arith' }).map(text)).toEqual([
      '30',
      '70',
      '110',
      '150',
    ]);
  });

  it('has equal ratios', () => {
    const levels = exactLevels({ lower: '100', upper: '150', grids: 5, mode: 'geo' });
    expect(levels.map((level) => level.toFixed(6))).toEqual([
      '100.000000',
      '108.447177',
      '117.607902',
      '127.542450',
      '138.316187',
      '150.000000',
    ]);
  });

  it('puts them on the tick', () => {
    const levels = gridLevels({ lower: '100', upper: '150', grids: 5, mode: 'geo' }, '0.05');
    expect(levels.map(text)).toEqual(['100', '108.45', '117.6', '127.55', '138.3', '150']);
  });
});

describe('net profit of a cell', () => {
  const profits = (mode: 'arith' | 'geo'): string[] => {
    const levels = exactLevels({ lower: '100', upper: '150', grids: 5, mode });
    return levels.slice(1).map((sell, i) => cellProfit(levels[i] ?? sell, sell, '0.001').toFixed(7));
  };

  it('falls from cell to cell with equal steps', () => {
    expect(profits('arith')[0]).toBe('0.0978022');
    expect(profits('arith')[4]).toBe('0.0692879');
  });

  it('is the same in every cell with equal ratios', () => {
    expect(new Set(profits('geo'))).toEqual(new Set(['0.0823050']));
  });
});

it('earns the same in every cell of a geometric grid, but for the tick', () => {
  const shape = fc.record({
    lower: fc.integer({ min: 100, max: 100_000 }),
    factor: fc.integer({ min: 101, max: 400 }),
    grids: fc.integer({ min: 2, max: 200 }),
    tick: fc.constantFrom('0.01', '0.1', '1'),
  });
  fc.assert(
    fc.property(shape, ({ lower, factor, grids, tick }) => {
      const low = dec(lower);
      const high = roundPrice(low.times(factor).div(100), tick);
      fc.pre(high.gt(low));
      const levels = gridLevels({ lower: text(low), upper: text(high), grids, mode: 'geo' }, tick);
      const ratio = high.div(low).pow(dec(1).div(grids));
      const exact = cellProfit(dec(1), ratio, '0.001');
      for (const [i, sell] of levels.slice(1).entries()) {
        const buy = levels[i] ?? sell;
        // Each level is at most half a tick from where it would be.
        const most = dec(tick).div(2).times(ratio.plus(1)).div(buy);
        expect(cellProfit(buy, sell, '0.001').minus(exact).abs().lte(most.plus('1e-30'))).toBe(true);
      }
    }),
  );
});

describe('preview', () => {
  const figures = (change: Partial<GridParams> = {}) => {
    const found = gridPreview(grid(change), RULES, PRICE).figures;
    if (!found) {
      throw new Error('no figures');
    }
    return found;
  };

  it('agrees with the golden example to the cent', () => {
    const f = figures({ stopLoss: '58500' });
    expect([round(f.profit.low, 4), round(f.profit.high, 4)]).toEqual(['0.0121', '0.0146']);
    expect([round(f.profit.lowAmount, 2), round(f.profit.highAmount, 2)]).toEqual(['1.34', '1.37']);
    expect(f.quantity).toBe('0.00156');
    expect([round(f.needs, 2), round(f.used, 2), round(f.left, 2)]).toEqual(['68.91', '1194.38', '5.62']);
    expect(f.start.buysBase).toBe('0.01092');
    expect([round(f.start.cost, 2), round(f.start.keeps, 2)]).toEqual(['709.59', '484.08']);
    expect([f.start.buyOrders, f.start.sellOrders]).toEqual([5, 7]);
    expect([round(f.atLower.gain, 2), round(f.atLower.fraction, 3)]).toEqual(['-71.18', '-0.059']);
    expect([round(f.atStop?.gain ?? '', 2), round(f.atStop?.fraction ?? '', 3)]).toEqual(['-100.35', '-0.084']);
    expect([round(f.atUpper.gain, 2), round(f.atUpper.fraction, 3)]).toEqual(['42.43', '0.035']);
    expect(round(f.holdingToUpper, 3)).toBe('0.106');
  });

  it('leaves one level empty, buys below it and sells above it', () => {
    const { ladder } = figures();
    expect(ladder.map(({ side }) => side)).toEqual([...Array(7).fill('sell'), 'empty', ...Array(5).fill('buy')]);
    expect(ladder.find(({ side }) => side === 'empty')?.price).toBe('65000');
  });

  it('shows a grid that waits for a price as one that starts at that price', () => {
    const at = gridPreview(grid({ stopLoss: '58500' }), RULES, PRICE);
    const waits = gridPreview(grid({ stopLoss: '58500', triggerPrice: PRICE }), RULES, '70000');
    expect(waits).toEqual(at);
    expect(gridPreview(grid({ triggerPrice: '59000' }), RULES, PRICE).figures?.start).toMatchObject({
      buyOrders: 0,
      sellOrders: 12,
    });
  });

  it('has no figures without an investment', () => {
    const preview = gridPreview(presetParams('balanced', RULES, PRICE, '0.00'), RULES, PRICE);
    expect(preview).toMatchObject({ tradable: false, figures: null, problems: [{ code: 'below_minimum' }] });
  });

  it('has no figures for what is no grid', () => {
    const preview = gridPreview(grid({ lower: '72000' }), RULES, PRICE);
    expect(preview).toMatchObject({ tradable: false, figures: null, problems: [{ code: 'bounds' }] });
  });

  it('shows 200 levels', () => {
    const params = grid({ grids: 199, mode: 'geo', investment: '20000' });
    const preview = gridPreview(params, RULES, PRICE);
    expect(preview.figures).not.toBeNull();
    expect(preview.figures?.ladder).toHaveLength(200);
  });
});

describe('problems', () => {
  const codes = (change: Partial<GridParams>, price = PRICE): string[] =>
    gridProblems(grid(change), RULES, price).map(({ code }) => code);

  it('finds none in a good grid', () => {
    expect(codes({})).toEqual([]);
  });

  it('refuses a cell that loses to fees, in words', () => {
    const [problem] = gridProblems(grid({ lower: '64000', upper: '66000', grids: 18 }), RULES, PRICE);
    expect(problem?.message).toBe('A cell of 0.17 % loses to fees of 0.2 %. Use fewer grids.');
  });

  it('accepts a cell just above the break-even ratio and refuses one just below', () => {
    const rules = { ...RULES, tick: '0.001', step: '0.000001' };
    const two = (upper: string): string[] =>
      gridProblems(grid({ lower: '1000', upper, grids: 2, mode: 'geo', investment: '1000' }), rules, '1001').map(
        ({ code }) => code,
      );
    // 1.002002² × 1000 = 1004.008
    expect(two('1004.02')).toEqual([]);
    expect(two('1004')).toEqual(['loses_to_fees']);
  });

  it('says how many grids or how much money an order below the minimum allows', () => {
    const [problem] = gridProblems(grid({ investment: '50' }), RULES, PRICE);
    expect(problem?.code).toBe('below_minimum');
    const most = Number(problem?.values['most']);
    expect(codes({ investment: '50', grids: most })).toEqual([]);
    expect(codes({ investment: '50', grids: most + 1 })).toContain('below_minimum');
    expect(codes({ investment: problem?.values['needs'] ?? '' })).toEqual([]);
  });

  it.each([
    [{ grids: 201 }, 'too_many_grids'],
    [{ side: 'short' as const }, 'side'],
    [{ trailingUp: true }, 'trailing'],
    [{ lower: '60000.05' }, 'off_tick'],
    [{ lower: '60000', upper: '60000.5', grids: 12 }, 'tick'],
    [{ stopLoss: '60000' }, 'stop_loss'],
    [{ takeProfit: '72000' }, 'take_profit'],
  ])('refuses %j', (change, code) => {
    expect(codes(change)).toContain(code);
  });

  it.each([
    ['75000', 'above_range', 'At 75000 the price is above the range: the bot waits until it comes back.'],
    [
      '59000',
      'below_range',
      'At 59000 the price is below the range: the bot buys all of its base currency at once and waits to sell it.',
    ],
  ])('warns at %s of what the bot will do, and lets it be', (price, code, message) => {
    const warning = { code, severity: 'warning', message, values: { price } };
    for (const preview of [
      gridPreview(grid(), RULES, price),
      gridPreview(grid({ triggerPrice: price }), RULES, PRICE),
    ]) {
      expect(preview.problems).toMatchObject([warning]);
      expect(preview.tradable).toBe(true);
    }
  });

  it.each([
    [{ triggerPrice: '58500', stopLoss: '58500' }, 'start_at_stop_loss', 'stopLoss'],
    [{ triggerPrice: '73000', takeProfit: '72500' }, 'start_at_take_profit', 'takeProfit'],
  ])('refuses a start price that would end the bot at once: %j', (change, code, other) => {
    const [problem] = gridProblems(grid(change), RULES, PRICE);
    expect(problem).toMatchObject({ code, field: 'triggerPrice', severity: 'error' });
    expect(Object.keys(problem?.values ?? {})).toEqual(['price', other]);
  });

  it('judges exits and money at the start price, not at the present one', () => {
    expect(codes({ triggerPrice: '64000', stopLoss: '59000' }, '58000')).toEqual([]);
    expect(codes({ triggerPrice: '64000', takeProfit: '72500' }, '73000')).toEqual([]);
    const [problem] = gridProblems(grid({ investment: '50', triggerPrice: '59000' }), RULES, '75000');
    expect(problem?.values['needs']).toBe(gridProblems(grid({ investment: '50' }), RULES, '59000')[0]?.values['needs']);
  });
});

describe('presets', () => {
  it.each(GRID_PRESETS)('%s is tradable and has a level within 0.3 % below the price', (preset) => {
    for (const price of ['64980.4', '3123.45', '101.1']) {
      const rules = { ...RULES, tick: '0.01', step: '0.0001' };
      const preview = gridPreview(presetParams(preset, rules, price, '1000'), rules, price);
      expect(preview.problems).toEqual([]);
      const buy = preview.figures?.ladder.find(({ side }) => side === 'buy');
      const distance = dec(price)
        .minus(buy?.price ?? 0)
        .div(price);
      expect(distance.gt(0) && distance.lt('0.003')).toBe(true);
    }
  });
});
