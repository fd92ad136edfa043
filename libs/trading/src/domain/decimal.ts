import { Decimal } from 'decimal.js';

/** Enough digits that no product or quotient of exchange amounts is cut where it shows. */
export const Dec = Decimal.clone({ precision: 50, rounding: Decimal.ROUND_HALF_EVEN });
export type Dec = Decimal;

export type Amount = string;

export function dec(value: Amount | number | Decimal): Decimal {
  return new Dec(value);
}

/** Plain notation, no trailing zeros, never `-0`. */
export function text(value: Decimal): Amount {
  return value.isZero() ? '0' : value.toFixed();
}

/** Ratios and split amounts are kept to 12 places: beyond any tick, and short enough for the contracts. */
export function shortText(value: Decimal): Amount {
  return text(value.toDecimalPlaces(12));
}

export function sum(values: Iterable<Decimal | Amount>): Decimal {
  let total = dec(0);
  for (const value of values) {
    total = total.plus(value);
  }
  return total;
}
