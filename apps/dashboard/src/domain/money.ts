import { Decimal } from 'decimal.js';

// Amounts travel as text; these few sums keep them text. Never scientific: 28 digits cover every pair we trade.
const Exact = Decimal.clone({ precision: 40, toExpNeg: -30, toExpPos: 40 });

export function sum(amounts: readonly string[]): string {
  return amounts.reduce((total, amount) => total.plus(amount), new Exact(0)).toString();
}

export function subtract(a: string, b: string): string {
  return new Exact(a).minus(b).toString();
}

export function multiply(a: string, b: string): string {
  return new Exact(a).times(b).toString();
}

export function compare(a: string, b: string): number {
  return new Exact(a).comparedTo(b);
}

export function signOf(amount: string): -1 | 0 | 1 {
  const value = new Exact(amount);
  return value.isZero() ? 0 : value.isNegative() ? -1 : 1;
}

/** `part` of `whole` as a fraction, exact enough for any number of shown decimals; null where there is no whole. */
export function fractionOf(part: string, whole: string): string | null {
  const base = new Exact(whole);
  return base.isZero() ? null : new Exact(part).div(base).toDecimalPlaces(8).toFixed();
}

/** How far `price` is from `reference`, as a fraction with sign; null without a reference. */
export function distance(price: string, reference: string): string | null {
  return isAmount(price) && isAmount(reference) ? fractionOf(subtract(price, reference), reference) : null;
}

/** Place of a price within its range, 0 to 1; below and above stay recognisable as < 0 and > 1. */
export function placeInRange(price: string, lower: string, upper: string): number | null {
  const width = new Exact(upper).minus(lower);
  return width.isPositive() && !width.isZero() ? new Exact(price).minus(lower).div(width).toNumber() : null;
}

/** A plain decimal number, as fields and the API take it. */
export function isAmount(text: string): boolean {
  return /^\d{1,20}(\.\d{1,20})?$/.test(text);
}

export function snapToTick(amount: string, tick: string): string {
  const step = new Exact(tick);
  return new Exact(amount).div(step).round().times(step).toFixed(step.decimalPlaces());
}

/** The largest multiple of the tick that is not above the amount. */
export function floorToTick(amount: string, tick: string): string {
  const step = new Exact(tick);
  return new Exact(amount).div(step).floor().times(step).toFixed(step.decimalPlaces());
}

export function scale(amount: string, factor: string, tick: string): string {
  return snapToTick(multiply(amount, factor), tick);
}

/** The tick with the most decimals, as `0.00…1`. */
export function finestTick(ticks: readonly string[], fallback: string): string {
  const decimals = Math.max(...[fallback, ...ticks].map((tick) => new Exact(tick).decimalPlaces()));
  return new Exact(10).pow(-decimals).toFixed();
}

function isGrouped(text: string, sign: string): boolean {
  const [first = '', ...rest] = text.split(sign);
  return /^\d{1,3}$/.test(first) && rest.every((group) => /^\d{3}$/.test(group));
}

/**
 * What a person typed as a plain decimal. Both `.` and `,` may be the decimal sign; where one text has both, the last
 * one is it. `ambiguous` says that a lone `1,234` could also have meant a thousand, so the page shows what was read.
 */
export function parseTyped(text: string): { value: string; ambiguous: boolean } | null {
  const compact = text.replace(/[\s\u00a0\u202f'_]/g, '');
  const last = Math.max(compact.lastIndexOf('.'), compact.lastIndexOf(','));
  if (last === -1) {
    return isAmount(compact) ? { value: compact, ambiguous: false } : null;
  }
  const sign = compact[last] ?? '.';
  const other = sign === '.' ? ',' : '.';
  const whole = compact.slice(0, last);
  const fraction = compact.slice(last + 1);
  if (whole.includes(sign)) {
    // the same sign twice can only group thousands
    return isGrouped(compact, sign) ? { value: compact.split(sign).join(''), ambiguous: false } : null;
  }
  if (whole.includes(other) && !isGrouped(whole, other)) {
    return null;
  }
  const digits = whole.split(other).join('');
  const value = fraction === '' ? digits : `${digits === '' ? '0' : digits}.${fraction}`;
  if (!isAmount(value)) {
    return null;
  }
  return { value, ambiguous: sign === ',' && fraction.length === 3 && !whole.includes(other) && whole !== '0' };
}
