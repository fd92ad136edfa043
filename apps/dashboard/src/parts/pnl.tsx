import type { Pnl } from '#libs/contracts';
import { Amount } from '#libs/ui';
import { useT } from '../i18n/i18n.js';
import { MONEY_TICK } from './figures.js';

const PARTS = ['grid', 'unrealised', 'otherFees'] as const;

/** A total that names its parts: `+214.60 = grid, net +208.04 · unrealised +7.79 · other fees −1.23`. */
export function PnlParts({ pnl }: { pnl: Pnl }) {
  const t = useT();
  return (
    <span className="pnl-parts" title={t('equity.partsHint')}>
      {PARTS.map((part, index) => (
        <span key={part} className="pnl-part">
          {index === 0 ? '= ' : '· '}
          {t(`equity.parts.${part}`)} <Amount value={pnl[part]} tick={MONEY_TICK} sign="always" />
        </span>
      ))}
    </span>
  );
}
