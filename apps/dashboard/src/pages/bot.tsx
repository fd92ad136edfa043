import { BOT_STATUS, CANDLE_INTERVALS, type Bot, type CandleInterval } from '#libs/contracts';
import { Amount, ErrorState, PageTitle, Panel, Since, Skeletons, useNow } from '#libs/ui';
import { SegmentedControl, Switch } from '@mantine/core';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { ApiError } from '../api/http.js';
import { botQuery, fillsQuery, marketQuery } from '../api/queries.js';
import { ButtonLink } from '../app/button-link.js';
import { useTitle } from '../app/use-title.js';
import { toChartNumber } from '../charts/chart-number.js';
import { ratePerHour, tradedFor } from '../domain/duration.js';
import { chartLevels } from '../domain/ladder.js';
import { distance, signOf } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { useReasonText } from '../i18n/messages.js';
import { BotState } from '../parts/bot-table.js';
import { CandleChart } from '../parts/candle-chart.js';
import { EquityPanel } from '../parts/equity-panel.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';
import { ModeTag } from '../parts/mode-tag.js';
import { PnlParts } from '../parts/pnl.js';
import { QueryState } from '../parts/query-state.js';
import { FALLBACK_TICK, useMarketPair, usePriceOf } from '../parts/use-market.js';
import { BotActions } from './bot-actions.js';
import { BotTabs } from './bot-tabs.js';
import { Ladder } from './grid-figures.js';

export function BotPage() {
  const t = useT();
  const { id } = useParams({ from: '/bots/$id' });
  const query = useQuery({ ...botQuery(id), retry: (count, error) => !isGone(error) && count < 2 });
  useTitle(query.data?.name ?? t('fields.bot'));
  if (query.data === undefined && query.error !== null && isGone(query.error)) {
    return (
      <ErrorState
        error={{ message: t('common.notFoundBot') }}
        title={t('common.notFound')}
        action={
          <ButtonLink to="/bots" size="xs" variant="default">
            {t('bots.title')}
          </ButtonLink>
        }
      />
    );
  }
  return (
    <QueryState query={query} loading={<Skeletons shape="page" />}>
      {(bot) => <BotView bot={bot} key={bot.id} />}
    </QueryState>
  );
}

function isGone(error: Error): boolean {
  return error instanceof ApiError && (error.code === 'NOT_FOUND' || error.code === 'VALIDATION_FAILED');
}

function BotView({ bot }: { bot: Bot }) {
  const { range = '1D', tab = 'orders' } = useSearch({ from: '/bots/$id' });
  const navigate = useNavigate({ from: '/bots/$id' });
  const fills = useInfiniteQuery(fillsQuery(bot.id));
  const shownFills = useMemo(() => fills.data?.pages.flatMap((page) => page.items) ?? [], [fills.data]);
  const t = useT();
  return (
    <>
      <PageTitle
        tone={BOT_STATUS[bot.status].tone}
        facts={
          <>
            <ModeTag />
            <BotState bot={bot} reason={false} />
          </>
        }
        actions={<BotActions bot={bot} />}
      >
        {bot.name}
      </PageTitle>
      <BotHeadline bot={bot} />
      <PricePart bot={bot} fills={shownFills} />
      <EquityPanel
        botId={bot.id}
        title={t('bot.equityTitle')}
        range={range}
        onRange={(next) => void navigate({ search: (old) => ({ ...old, range: next }), replace: true })}
        fills={shownFills}
        unit={bot.pair.split('/')[1] ?? ''}
        height={180}
      />
      <BotTabs
        bot={bot}
        tab={tab}
        onTab={(next) => void navigate({ search: (old) => ({ ...old, tab: next }), replace: true })}
      />
    </>
  );
}

/** Reason first, then the total with its parts, then what stands behind it. */
function BotHeadline({ bot }: { bot: Bot }) {
  const t = useT();
  const figures = useFigures();
  const market = useMarketPair(bot.pair);
  const [base = '', quote = ''] = bot.pair.split('/');
  const now = useNow(60_000);
  const why = useReasonText()(bot);
  const traded = tradedFor(bot, now);
  const rate = traded === null ? null : ratePerHour(bot.cellsClosed, traded);
  const placing =
    bot.status === 'running' && bot.cellQuantity !== null && bot.openOrders.total < bot.params.grids && bot.fills === 0;
  return (
    <div className="bot-head">
      {why === null ? null : (
        <p className="note" data-tone={BOT_STATUS[bot.status].tone}>
          {why}
        </p>
      )}
      {placing ? (
        <output className="note">{t('bot.placing', { done: bot.openOrders.total, all: bot.params.grids })}</output>
      ) : null}
      <p className="hero">
        <span className="hero-label">{t('fields.total')}</span>
        <Amount value={bot.pnl.total} tick={MONEY_TICK} direction unit={quote} />
        <span className="hero-side">
          <Amount value={bot.totalReturn} kind="percent" sign="always" />
        </span>
      </p>
      <div className="bot-facts">
        <PnlParts pnl={bot.pnl} />
        <ul className="fact-line">
          <li>
            {t('fields.equity')} <Amount value={bot.equity} tick={MONEY_TICK} unit={quote} />
          </li>
          <li>
            {t('bot.cells', { count: bot.cellsClosed })}
            {rate === null ? null : <>, {t('bot.cellsPerHour', { rate })}</>}
          </li>
          <li>
            {t('bot.holds', {
              base: figures.amount(bot.holdings.base, { tick: market?.step ?? FALLBACK_TICK, unit: base }),
              quote: figures.amount(bot.holdings.quote, { unit: quote }),
            })}
          </li>
          {signOf(bot.maxDrawdown) === 0 ? null : (
            <li>{t('bot.drawdown', { percent: figures.percent(bot.maxDrawdown) })}</li>
          )}
          <PriceFact bot={bot} />
          {bot.lastOrderAt === null ? null : (
            <li>
              {t('bot.lastOrder')} <Since value={bot.lastOrderAt} />
            </li>
          )}
        </ul>
      </div>
    </div>
  );
}

/** The price as it stands: how old, from where, and what it did in a day. A stopped bot's is that of its end. */
function PriceFact({ bot }: { bot: Bot }) {
  const t = useT();
  const { data } = useQuery(marketQuery());
  const market = useMarketPair(bot.pair);
  const price = usePriceOf(bot);
  if (price === null) {
    return null;
  }
  const shown = <Amount value={price} tick={market?.tick ?? FALLBACK_TICK} />;
  if (bot.state === 'stopped' || data === undefined || market === undefined) {
    return (
      <li>
        {t('bot.price')} {shown}
      </li>
    );
  }
  const change = market.price24hAgo === null ? null : distance(price, market.price24hAgo);
  return (
    <>
      <li>
        {t('bot.price')} {shown}{' '}
        <span className="av-muted">
          {t(`sources.${data.sourceCode}`)}, <Since value={market.priceAt} />
        </span>
      </li>
      {change === null ? null : (
        <li>
          {t('bot.change24h')} <Amount value={change} kind="percent" sign="always" />
        </li>
      )}
    </>
  );
}

function PricePart({ bot, fills }: { bot: Bot; fills: Parameters<typeof CandleChart>[0]['fills'] }) {
  const t = useT();
  const figures = useFigures();
  const market = useMarketPair(bot.pair);
  const price = usePriceOf(bot);
  const tick = market?.tick ?? FALLBACK_TICK;
  const [interval, chooseInterval] = useState<CandleInterval>('5m');
  const [levelsShown, setLevelsShown] = useState(true);
  const [fillsShown, setFillsShown] = useState(true);
  const { stopLoss, takeProfit } = bot.params;
  const levels = useMemo(
    () =>
      levelsShown
        ? chartLevels(
            bot.levels,
            { price, stopLoss, takeProfit },
            { place: toChartNumber, words: (at) => figures.price(at, tick) },
          )
        : [],
    [bot.levels, price, tick, levelsShown, stopLoss, takeProfit, figures],
  );
  const rungs = bot.levels.toSorted((a, b) => toChartNumber(b.price) - toChartNumber(a.price));
  return (
    <Panel
      title={t('bot.chartTitle')}
      actions={
        <span className="panel-tools">
          <Switch
            size="xs"
            label={t('bot.levels')}
            checked={levelsShown}
            onChange={(event) => setLevelsShown(event.currentTarget.checked)}
          />
          <Switch
            size="xs"
            label={t('bot.fills')}
            checked={fillsShown}
            onChange={(event) => setFillsShown(event.currentTarget.checked)}
          />
          <SegmentedControl
            size="xs"
            aria-label={t('bot.interval')}
            value={interval}
            onChange={(value) => chooseInterval(value as CandleInterval)}
            data={[...CANDLE_INTERVALS]}
          />
        </span>
      }
      flush
    >
      <div className="chart-and-ladder">
        <CandleChart
          pair={bot.pair}
          interval={interval}
          tick={tick}
          levels={levels}
          {...(fillsShown && fills !== undefined ? { fills } : {})}
          summary={t('bot.chartSummary', {
            pair: bot.pair,
            interval,
            lower: figures.price(bot.params.lower, tick),
            upper: figures.price(bot.params.upper, tick),
            buys: bot.openOrders.buys,
            sells: bot.openOrders.sells,
            price: price === null ? '–' : figures.price(price, tick),
          })}
        />
        <Ladder rungs={rungs} tick={tick} price={price} />
      </div>
    </Panel>
  );
}
