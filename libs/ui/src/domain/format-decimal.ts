/** A decimal number as text: what the API sends for every amount. */
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/;

export interface DecimalFormat {
  /** BCP 47 tag; decides separators and nothing else. */
  locale: string;
  /** Smallest step of the figure, as text: `0.1` shows one decimal, `0.00001` five, `5` none. */
  tick?: string;
  /** `always` writes + and − (never on zero), `auto` only −. */
  sign?: 'auto' | 'always';
  /** `percent` takes a fraction (`0.0012`) and writes `0.12 %` with two decimals. */
  kind?: 'decimal' | 'percent';
}

export function isDecimal(text: string): boolean {
  return DECIMAL.test(text);
}

/** Decimals a tick asks for: `0.010` → 2, `1` → 0. */
export function decimalsOfTick(tick: string): number {
  return (DECIMAL.exec(tick)?.[3] ?? '').replace(/0+$/, '').length;
}

/** Moves the point right by two places without leaving text. */
function timesHundred(sign: string, whole: string, fraction: string): string {
  const padded = fraction.padEnd(2, '0');
  const digits = `${whole}${padded.slice(0, 2)}`.replace(/^0+(?=\d)/, '');
  return `${sign}${digits}${padded.length > 2 ? `.${padded.slice(2)}` : ''}`;
}

/** Decimals needed so that the first digit that is not zero can be seen. */
function decimalsToFirstDigit(text: string): number {
  const fraction = DECIMAL.exec(text)?.[3] ?? '';
  return fraction.search(/[1-9]/) + 1;
}

function isZero(text: string): boolean {
  return !/[1-9]/.test(text);
}

const cache = new Map<string, Intl.NumberFormat>();

function formatter(locale: string, decimals: { min: number; max: number }, sign: 'auto' | 'always'): Intl.NumberFormat {
  const key = `${locale}|${decimals.min}|${decimals.max}|${sign}`;
  let found = cache.get(key);
  if (found === undefined) {
    found = new Intl.NumberFormat(locale, {
      minimumFractionDigits: decimals.min,
      maximumFractionDigits: decimals.max,
      // `exceptZero` also drops the sign of what rounds to zero
      signDisplay: sign === 'always' ? 'exceptZero' : 'negative',
    });
    cache.set(key, found);
  }
  return found;
}

/**
 * Writes a decimal string exactly: `Intl` reads text digit by digit (ECMA-402 `ToIntlMathematicalValue`), so no figure
 * passes through a float. Rounds half away from zero to the tick; what is not zero never reads as zero, and nothing
 * is ever scientific. Text that is not a decimal number comes back as it is: a page must not fall over a bad value.
 */
export function formatDecimal(value: string, format: DecimalFormat): string {
  const match = DECIMAL.exec(value);
  if (match === null) {
    return value;
  }
  const [, sign = '', whole = '0', fraction = ''] = match;
  const text = format.kind === 'percent' ? timesHundred(sign, whole, fraction) : value.replace(/^\+/, '');
  const decimals = wantedDecimals(text, format, fraction);
  const written = formatter(format.locale, decimals, format.sign ?? 'auto')
    .formatToParts(text as Intl.StringNumericLiteral)
    .map((part) => (part.type === 'minusSign' ? '−' : part.value))
    .join('');
  return format.kind === 'percent' ? `${written} %` : written;
}

function wantedDecimals(text: string, format: DecimalFormat, fraction: string): { min: number; max: number } {
  const own = format.kind === 'percent' ? 2 : format.tick === undefined ? undefined : decimalsOfTick(format.tick);
  if (own === undefined) {
    // without a tick the figure is shown as it came; 100 decimals is what Intl can do
    const given = Math.min(fraction.length, 100);
    return { min: given, max: given };
  }
  const whole = /^[+-]?0*(?:\.|$)/.test(text);
  const needed = whole && !isZero(text) ? Math.min(decimalsToFirstDigit(text), 100) : 0;
  return needed > own && roundsToZero(text, own) ? { min: needed, max: needed } : { min: own, max: own };
}

/** True when |text| < 0.5 · 10^-decimals, for a number whose whole part is 0. */
function roundsToZero(text: string, decimals: number): boolean {
  const fraction = DECIMAL.exec(text)?.[3] ?? '';
  return isZero(fraction.slice(0, decimals)) && (fraction[decimals] ?? '0') < '5';
}

/** −1, 0 or 1 by the text alone. */
export function signOfDecimal(value: string): -1 | 0 | 1 {
  return isZero(value) ? 0 : value.startsWith('-') ? -1 : 1;
}
