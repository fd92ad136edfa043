import { placeInRange } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { useFigures } from './figures.js';

export interface RangeBarProps {
  lower: string;
  upper: string;
  price: string | null;
  tick: string;
}

/** How far beyond an end the dot may stand: outside must look outside, and stay within the cell. */
const OVERSHOOT = 0.08;

/** Where the price stands between the bounds of a grid: `60 000 ──●── 72 000`. */
export function RangeBar({ lower, upper, price, tick }: RangeBarProps) {
  const t = useT();
  const figures = useFigures();
  const place = price === null ? null : placeInRange(price, lower, upper);
  const dot = place === null ? null : Math.min(1 + OVERSHOOT, Math.max(-OVERSHOOT, place));
  const words = { lower: figures.price(lower, tick), upper: figures.price(upper, tick) };
  const summary =
    price === null
      ? t('bots.rangeSummaryNoPrice', words)
      : t('bots.rangeSummary', { ...words, price: figures.price(price, tick) });
  return (
    // drawn by boxes, read as one image
    // oxlint-disable-next-line jsx-a11y/prefer-tag-over-role
    <span className="range" role="img" aria-label={summary}>
      <span>{words.lower}</span>
      <span className="range-track">
        {dot === null ? null : (
          <i
            data-outside={dot < 0 || dot > 1 || undefined}
            style={{ insetInlineStart: `${(dot * 100).toFixed(2)}%` }}
          />
        )}
      </span>
      <span>{words.upper}</span>
    </span>
  );
}
