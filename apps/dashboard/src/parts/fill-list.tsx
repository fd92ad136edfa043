import type { Fill } from '#libs/contracts';
import { Amount, Time } from '#libs/ui';
import { Link } from '@tanstack/react-router';
import { useT } from '../i18n/i18n.js';
import { MONEY_TICK } from './figures.js';
import { FALLBACK_TICK, useMarketPair } from './use-market.js';

/** Arrow and word: the side is never told by colour alone. */
export function Side({ side }: { side: 'buy' | 'sell' }) {
  const t = useT();
  return (
    <span className="side" data-side={side}>
      <span aria-hidden>{side === 'buy' ? '▲' : '▼'}</span> {t(`side.${side}`)}
    </span>
  );
}

function FillLine({ fill }: { fill: Fill }) {
  const t = useT();
  const market = useMarketPair(fill.pair);
  return (
    <li className="fill-line">
      <Time value={fill.at} style="seconds" />
      <span className="fill-what">
        <Side side={fill.side} /> <Amount value={fill.quantity} {...(market ? { tick: market.step } : {})} />
        <span className="muted"> @ </span>
        <Amount value={fill.price} tick={market?.tick ?? FALLBACK_TICK} />
      </span>
      <Link to="/bots/$id" params={{ id: fill.botId }} className="fill-bot" title={fill.botName}>
        {fill.botName}
      </Link>
      {fill.cellProfit === null ? null : (
        <span className="fill-profit">
          {t('home.cell')} <Amount value={fill.cellProfit} tick={MONEY_TICK} direction />
        </span>
      )}
    </li>
  );
}

export function FillLines({ fills }: { fills: readonly Fill[] }) {
  return (
    <ol className="fill-lines">
      {fills.map((fill) => (
        <FillLine key={fill.id} fill={fill} />
      ))}
    </ol>
  );
}
