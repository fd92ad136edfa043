import fc from 'fast-check';
import {
  compare,
  distance,
  finestTick,
  fractionOf,
  isAmount,
  parseTyped,
  placeInRange,
  signOf,
  snapToTick,
  subtract,
  sum,
} from './money.js';

describe('money as text', () => {
  it('adds what floats cannot', () => {
    expect(sum(['0.1', '0.2'])).toBe('0.3');
    expect(sum([])).toBe('0');
    expect(sum(['0.00000001', '123456789012345.12345678'])).toBe('123456789012345.12345679');
    expect(subtract('0.3', '0.1')).toBe('0.2');
  });

  it('never turns scientific', () => {
    expect(sum(['0.0000000001'])).toBe('0.0000000001');
    expect(sum(['100000000000000000000000'])).toBe('100000000000000000000000');
  });

  it('a column and its total agree however the rows are cut into pages', () => {
    const cents = fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }).map((n) => (n / 100).toFixed(2)));
    fc.assert(
      fc.property(cents, fc.nat(), (rows, at) => {
        const cut = rows.length === 0 ? 0 : at % rows.length;
        return compare(sum(rows), sum([sum(rows.slice(0, cut)), sum(rows.slice(cut))])) === 0;
      }),
    );
  });

  it('gives distances as fractions with sign', () => {
    expect(distance('72000', '64980.4')).toBe('0.10802642');
    expect(distance('60000', '64980.4')).toBe('-0.07664465');
    expect(distance('60000', '0')).toBeNull();
    expect(distance('', '5')).toBeNull();
    expect(fractionOf('1', '3')).toBe('0.33333333');
    expect(fractionOf('0.0000000001', '1')).toBe('0');
  });

  it('places a price in its range, also outside of it', () => {
    expect(placeInRange('65', '60', '70')).toBe(0.5);
    expect(placeInRange('75', '60', '70')).toBe(1.5);
    expect(placeInRange('65', '70', '70')).toBeNull();
  });

  it('knows the sign of nothing', () => {
    expect(['0.00', '-0', '1', '-0.01'].map(signOf)).toEqual([0, 0, 1, -1]);
  });

  it('snaps to the tick', () => {
    expect(snapToTick('64980.44', '0.1')).toBe('64980.4');
    expect(snapToTick('7', '5')).toBe('5');
    expect(snapToTick('0.123456', '0.00001')).toBe('0.12346');
  });
});

describe('ticks of a ledger', () => {
  it('show every digit any of the pairs can have', () => {
    expect(finestTick(['0.000001', '0.0001'], '0.01')).toBe('0.000001');
    expect(finestTick([], '0.01')).toBe('0.01');
    expect(finestTick(['5'], '0.01')).toBe('0.01');
  });
});

describe('what a person types', () => {
  it.each([
    ['1200', '1200', false],
    ['1200.50', '1200.50', false],
    ['1200,5', '1200.5', false],
    ['72.000,5', '72000.5', false],
    ['72,000.5', '72000.5', false],
    ['1,234,567', '1234567', false],
    ['1.234.567', '1234567', false],
    ['64\u202f980,4', '64980.4', false],
    ['.5', '0.5', false],
    ['5.', '5', false],
    ['1,234', '1.234', true],
    ['1.234', '1.234', false],
    ['0,123', '0.123', false],
  ])('reads %s as %s', (typed, value, ambiguous) => {
    expect(parseTyped(typed)).toEqual({ value, ambiguous });
  });

  it.each(['', '-5', 'abc', '1e5', '1,2.3,4', '12..5', '1,23.5', 'Infinity'])('refuses %s', (typed) => {
    expect(parseTyped(typed)).toBeNull();
  });

  it('accepts as an amount only what it hands on', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseTyped(text);
        return parsed === null || isAmount(parsed.value);
      }),
    );
  });
});
