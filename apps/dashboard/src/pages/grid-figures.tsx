import type { MarketPair } from '#libs/contracts';
import type { GridFigures } from '#libs/trading';
import { Amount } from '#libs/ui';
import { IconAlertTriangle, IconInfoCircle } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { FormProblem } from '../domain/grid-form.js';
import { compare } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { useProblemText } from '../i18n/messages.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';

export interface GridFiguresProps {
  figures: GridFigures;
  investment: string;
  market: MarketPair;
}

function Row({ term, children }: { term: ReactNode; children: ReactNode }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What the grid would do: the figures of the very function the bot follows. */
export function GridFiguresList({ figures, investment, market }: GridFiguresProps) {
  const t = useT();
  const words = useFigures();
  const money = (value: string) => <Amount value={value} tick={MONEY_TICK} unit={market.quote} />;
  const { profit, start, atLower, atStop, atUpper } = figures;
  const oneProfit = words.percent(profit.low) === words.percent(profit.high);
  return (
    <dl className="figures">
      <Row term={t('grid.profitPerGrid')}>
        <strong>
          <Amount value={profit.low} kind="percent" sign="always" />
          {oneProfit ? null : (
            <>
              {' – '}
              <Amount value={profit.high} kind="percent" sign="always" />
            </>
          )}
        </strong>
        <span className="figure-aside">
          {words.amount(profit.lowAmount)} – {words.amount(profit.highAmount)} {market.quote}
        </span>
      </Row>
      <Row term={t('grid.give')}>
        {money(investment)}
        <span className="figure-aside">
          {t('grid.usedLeft', {
            used: words.amount(figures.used),
            left: words.amount(figures.left),
            needs: words.amount(figures.needs),
          })}
        </span>
      </Row>
      <Row term={t('grid.atStart')}>
        {t('grid.buysBase', {
          amount: words.amount(start.buysBase, { tick: market.step, unit: market.base }),
          cost: words.amount(start.cost, { unit: market.quote }),
        })}
        <span className="figure-aside">
          {t('grid.keepsQuote', { amount: words.amount(start.keeps, { unit: market.quote }), count: start.buyOrders })}
        </span>
      </Row>
      <Row term={t('grid.fallsTo', { price: words.price(atLower.price, market.tick) })}>
        <Outcome gain={atLower.gain} fraction={atLower.fraction} unit={market.quote} />
        {atStop === null ? null : (
          <span className="figure-aside">
            {t('grid.atStop', { price: words.price(atStop.price, market.tick) })}{' '}
            <Outcome gain={atStop.gain} fraction={atStop.fraction} unit={market.quote} />
          </span>
        )}
      </Row>
      <Row term={t('grid.risesTo', { price: words.price(atUpper.price, market.tick) })}>
        <Outcome gain={atUpper.gain} fraction={atUpper.fraction} unit={market.quote} />
        <span className="figure-aside">
          {t('grid.holding', { percent: words.percent(figures.holdingToUpper, { signed: true }) })}
        </span>
      </Row>
    </dl>
  );
}

function Outcome({ gain, fraction, unit }: { gain: string; fraction: string; unit: string }) {
  return (
    <span className="av-nowrap">
      <Amount value={gain} tick={MONEY_TICK} direction unit={unit} />{' '}
      <span className="av-muted">
        (<Amount value={fraction} kind="percent" sign="always" />)
      </span>
    </span>
  );
}

export function ProblemList({ problems }: { problems: readonly FormProblem[] }) {
  const textOf = useProblemText();
  if (problems.length === 0) {
    return null;
  }
  return (
    <ul className="problems" aria-live="polite">
      {problems.map((problem) => (
        <li key={`${problem.field} ${problem.code}`} data-severity={problem.severity}>
          {problem.severity === 'error' ? (
            <IconAlertTriangle size={18} aria-hidden />
          ) : (
            <IconInfoCircle size={18} aria-hidden />
          )}
          <span>{textOf(problem)}</span>
        </li>
      ))}
    </ul>
  );
}

export interface LadderProps {
  rungs: readonly { price: string; side: 'buy' | 'sell' | 'empty' }[];
  tick: string;
  price: string | null;
}

/** Levels as rungs, highest first, with the price standing between them. Long ladders scroll. */
export function Ladder({ rungs, tick, price }: LadderProps) {
  const t = useT();
  const words = useFigures();
  const count = (side: 'buy' | 'sell') => rungs.filter((rung) => rung.side === side).length;
  const below = price === null ? -1 : rungs.findIndex((rung) => compare(rung.price, price) <= 0);
  const items = rungs.map((rung) => (
    <li key={rung.price} data-side={rung.side}>
      <span>{words.price(rung.price, tick)}</span>
      <span className="ladder-mark">{t(`side.${rung.side}`)}</span>
    </li>
  ));
  if (price !== null) {
    items.splice(
      below === -1 ? items.length : below,
      0,
      <li key="price" className="ladder-price">
        <span>{words.price(price, tick)}</span>
        <span>{t('grid.price')}</span>
      </li>,
    );
  }
  if (rungs.length === 0) {
    return <div className="ladder" />;
  }
  return (
    <div className="ladder">
      <p className="ladder-sum" data-side="sell">
        {t('grid.ladderSell', { count: count('sell') })}
      </p>
      {/* a scrolling region must be reachable by keyboard */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <ol tabIndex={0} aria-label={t('grid.ladder')}>
        {items}
      </ol>
      <p className="ladder-sum" data-side="buy">
        {t('grid.ladderBuy', { count: count('buy') })}
      </p>
    </div>
  );
}
