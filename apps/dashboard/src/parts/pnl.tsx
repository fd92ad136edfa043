import type { Pnl } from '#libs/contracts';
import { useTranslation } from 'react-i18next';
import { Signed } from './figures.js';

const PARTS = ['grid', 'unrealised', 'otherFees'] as const;

/** A total that names its parts: `+214.60 = grid, net +208.04 · unrealised +7.79 · other fees −1.23`. */
export function PnlParts({ pnl, tick }: { pnl: Pnl; tick: string }) {
  const { t } = useTranslation();
  return (
    <span className="pnl-parts" title={t('equity.partsHint')}>
      {PARTS.map((part, index) => (
        <span key={part} className="pnl-part">
          <span className="muted">{index === 0 ? '= ' : ''}</span>
          {t(`equity.parts.${part}`)} <Signed value={pnl[part]} tick={tick} plain />
          {index < PARTS.length - 1 ? <span className="muted"> ·</span> : null}
        </span>
      ))}
    </span>
  );
}
