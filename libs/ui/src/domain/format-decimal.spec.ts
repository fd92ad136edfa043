import fc from 'fast-check';
import { decimalsOfTick, formatDecimal, isDecimal, signOfDecimal } from './format-decimal.js';

const en = (value: string, format: Partial<Parameters<typeof formatDecimal>[1]> = {}) =>
  formatDecimal(value, { locale: 'en', ...format });

/** Any decimal string up to 20 digits on both sides: far more than a double holds. */
const decimals = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.bigInt({ min: 0n, max: 10n ** 20n }),
    fc.option(fc.stringMatching(/^\d{1,20}$/), { nil: undefined }),
  )
  .map(([sign, whole, fraction]) => `${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}`);

const plain = (text: string) => text.replaceAll(',', '').replace('−', '-');

describe('formatDecimal', () => {
  it.each([
    ['64980.4', { tick: '0.1' }, '64,980.4'],
    ['0.00156', { tick: '0.00001' }, '0.00156'],
    ['10214.6', { tick: '0.01' }, '10,214.60'],
    ['-1.23', { tick: '0.01' }, '−1.23'],
    ['12.41', { tick: '0.01', sign: 'always' as const }, '+12.41'],
    ['0', { tick: '0.01', sign: 'always' as const }, '0.00'],
    ['0.0012', { kind: 'percent' as const, sign: 'always' as const }, '+0.12 %'],
    ['-0.084', { kind: 'percent' as const }, '−8.40 %'],
    ['1', { kind: 'percent' as const }, '100.00 %'],
    ['0.999', { tick: '0.01' }, '1.00'],
    ['not a number', {}, 'not a number'],
  ])('writes %s with %j as %s', (value, format, expected) => {
    expect(en(value, format)).toBe(expected);
  });

  it('keeps digits a double would lose', () => {
    expect(en('90071992547409931234.000000000000000001')).toBe('90,071,992,547,409,931,234.000000000000000001');
  });

  it('follows the language', () => {
    expect(formatDecimal('64980.4', { locale: 'ru', tick: '0.1' })).toBe('64\u00a0980,4');
  });

  it('shows what is not zero, however small', () => {
    expect(en('0.00004', { tick: '0.01' })).toBe('0.00004');
    expect(en('-0.000049', { tick: '0.01' })).toBe('−0.00005');
    expect(en('0.000001', { kind: 'percent' })).toBe('0.0001 %');
  });

  it('loses no digit of any number when there is no tick', () => {
    fc.assert(
      fc.property(decimals, (value) => {
        const unsigned = /[1-9]/.test(value) ? value : value.replace('-', '');
        expect(plain(en(value))).toBe(unsigned);
      }),
    );
  });

  it('is never scientific, and never zero for what is not', () => {
    fc.assert(
      fc.property(decimals, fc.constantFrom('1', '0.1', '0.01', '0.00001', '0.00000001'), (value, tick) => {
        const written = en(value, { tick });
        expect(written).toMatch(/^−?[\d,]+(\.\d+)?$/);
        expect(/[1-9]/.test(written)).toBe(/[1-9]/.test(value));
      }),
    );
  });

  it('rounds to within half a tick', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), (units) => {
        const text = `${units < 0n ? '-' : ''}${(units < 0n ? -units : units).toString().padStart(5, '0')}`;
        const value = text.replace(/(\d{4})$/, '.$1');
        const shown =
          BigInt(
            plain(en(value, { tick: '0.01' }))
              .replace('.', '')
              .padEnd(1, '0'),
          ) * 100n;
        const off = shown - units < 0n ? units - shown : shown - units;
        const small = units > -50n && units < 50n;
        expect(small || off <= 50n).toBe(true);
      }),
    );
  });
});

describe('helpers', () => {
  it('reads decimals of a tick', () => {
    expect(['1', '0.1', '0.010', '0.00001', '5'].map(decimalsOfTick)).toEqual([0, 1, 2, 5, 0]);
  });
  it('tells sign and shape by the text', () => {
    expect(['0.00', '-0.0', '1', '-0.01'].map(signOfDecimal)).toEqual([0, 0, 1, -1]);
    expect(['1', '-1.5', '1e5', '', '.5', '1.'].map(isDecimal)).toEqual([true, true, false, false, false, false]);
  });
});
