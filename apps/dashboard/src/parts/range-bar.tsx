import { useTranslation } from 'react-i18next';
import { placeInRange } from '../domain/money.js';
import { useFigures } from './figures.js';

export interface RangeBarProps {
  lower: string;
  upper: string;
  price: string | null;
  tick: string;
}

/** How far beyond an end the dot may stand: outside must look outside, and stay within the cell. */
const OVERSHOOT = 0.06;

/** Where the price stands between the bounds of a grid: `60 000 ──●── 72 000`. */
export function RangeBar({ lower, upper, price, tick }: RangeBarProps) {
  const { t } = useTranslation();
  const { price: words } = useFigures();
  const place = price === null ? null : placeInRange(price, lower, upper);
  const clamped = place === null ? null : Math.min(1 + OVERSHOOT, Math.max(-OVERSHOOT, place));
  const summary =
    price === null
      ? t('bots.rangeSummaryNoPrice', { lower: words(lower, tick), upper: words(upper, tick) })
      : t('bots.rangeSummary', { lower: words(lower, tick), upper: words(upper, tick), price: words(price, tick) });
  return (
    <span className="range" role="img" aria-label={summary}>
      <span className="range-end">{words(lower, tick)}</span>
      <span className="range-track">
        {clamped === null ? null : (
          <span
            className="range-dot"
            data-outside={clamped < 0 || clamped > 1 || undefined}
            style={{ insetInlineStart: `${(clamped * 100).toFixed(2)}%` }}
          />
        )}
      </span>
      <span className="range-end">{words(upper, tick)}</span>
    </span>
  );
}
