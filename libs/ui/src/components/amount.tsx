import { formatDecimal, signOfDecimal } from '../domain/format-decimal.js';
import { useLocale } from '../i18n/i18n.js';

export interface AmountProps {
  /** A decimal string; a fraction where `kind` is `percent`. */
  value: string;
  tick?: string;
  unit?: string;
  sign?: 'auto' | 'always';
  kind?: 'decimal' | 'percent';
  /** Colours by direction, with an arrow: for gains and losses, never for health. */
  direction?: boolean;
}

const ARROW = { '-1': '▼', '0': '', '1': '▲' } as const;

/** The only place a figure becomes text. */
export function Amount({ value, tick, unit, sign, kind, direction = false }: AmountProps) {
  const locale = useLocale();
  const text = formatDecimal(value, {
    locale,
    ...(tick === undefined ? {} : { tick }),
    ...(kind === undefined ? {} : { kind }),
    sign: sign ?? (direction ? 'always' : 'auto'),
  });
  const way = signOfDecimal(value);
  return (
    <span className="av-amount" data-direction={direction ? way : undefined}>
      {direction && way !== 0 ? (
        <span className="av-amount-arrow" aria-hidden>
          {ARROW[way]}
        </span>
      ) : null}
      {text}
      {unit === undefined ? null : <span className="av-amount-unit"> {unit}</span>}
    </span>
  );
}
