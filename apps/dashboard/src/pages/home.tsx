import type { Fill, Overview } from '#libs/contracts';
import { Amount, EmptyState, PageTitle, Panel, Skeletons, Time } from '#libs/ui';
import { IconAlertCircle, IconPlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { botsQuery, marketQuery, meQuery, overviewQuery } from '../api/queries.js';
import { ButtonLink } from '../app/button-link.js';
import { useTitle } from '../app/use-title.js';
import { useT } from '../i18n/i18n.js';
import { useMessageText, useReasonText } from '../i18n/messages.js';
import { BotTable } from '../parts/bot-table.js';
import { EquityPanel } from '../parts/equity-panel.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';
import { FillLines } from '../parts/fill-list.js';
import { PnlParts } from '../parts/pnl.js';
import { QueryState } from '../parts/query-state.js';
import { FALLBACK_TICK } from '../parts/use-market.js';
import { fractionOf, signOf, subtract } from '../domain/money.js';
import { botToExplain } from '../domain/needs.js';
import { PresetCards } from './preset-cards.js';

export function HomePage() {
  const t = useT();
  useTitle(t('home.title'));
  const query = useQuery(overviewQuery());
  return (
    <QueryState query={query} loading={<Skeletons shape="page" />}>
      {(overview) =>
        overview.bots.total === 0 && overview.lastFills.length === 0 ? (
          <EmptyHome overview={overview} />
        ) : (
          <FullHome overview={overview} />
        )
      }
    </QueryState>
  );
}

/** Today's and all-time gain beside the equity figure, each with the parts it is the sum of. */
function EquityHead({ overview }: { overview: Overview }) {
  const t = useT();
  const change = fractionOf(overview.today.total, subtract(overview.equity, overview.today.total));
  return (
    <div className="equity-head">
      <p className="hero">
        <span className="hero-label">{t('equity.title')}</span>
        <Amount value={overview.equity} tick={MONEY_TICK} unit={overview.quote} />
      </p>
      <dl className="hero-facts">
        <div>
          <dt>{t('equity.todayUtc')}</dt>
          <dd>
            <Amount value={overview.today.total} tick={MONEY_TICK} direction />
            {change === null ? null : (
              <span className="av-muted">
                {' '}
                (<Amount value={change} kind="percent" sign="always" />)
              </span>
            )}
            <PnlParts pnl={overview.today} />
          </dd>
        </div>
        <div>
          <dt>{t('equity.allTime')}</dt>
          <dd>
            <Amount value={overview.allTime.total} tick={MONEY_TICK} direction />
            <PnlParts pnl={overview.allTime} />
          </dd>
        </div>
        <KeptBase overview={overview} />
      </dl>
    </div>
  );
}

/** What stopped bots left in the account instead of selling it: part of the equity, and of no bot. */
function KeptBase({ overview }: { overview: Overview }) {
  const t = useT();
  const { data: market } = useQuery(marketQuery());
  const kept = overview.balances.filter(({ asset, amount }) => asset !== overview.quote && signOf(amount) > 0);
  return kept.length === 0 ? null : (
    <div>
      <dt>{t('equity.kept')}</dt>
      {kept.map(({ asset, amount, value }) => (
        <dd key={asset}>
          <Amount
            value={amount}
            tick={market?.pairs.find(({ base }) => base === asset)?.step ?? FALLBACK_TICK}
            unit={asset}
          />
          <span className="av-muted">
            {' · '}
            {t('equity.worth')} <Amount value={value} tick={MONEY_TICK} unit={overview.quote} />
          </span>
        </dd>
      ))}
    </div>
  );
}

function FullHome({ overview }: { overview: Overview }) {
  const t = useT();
  const bots = useQuery(botsQuery());
  const { range = '1D' } = useSearch({ from: '/' });
  const navigate = useNavigate({ from: '/' });
  return (
    <>
      <PageTitle tone="work" actions={<NewBotButton />} facts={<FreeFacts overview={overview} />}>
        {t('home.title')}
      </PageTitle>
      <EquityHead overview={overview} />
      <div className="home-grid">
        <div className="home-column">
          <EquityPanel
            botId={null}
            title={t('equity.title')}
            range={range}
            onRange={(next) => void navigate({ search: { range: next }, replace: true })}
            fills={overview.lastFills}
            unit={overview.quote}
          />
          <Panel title={t('home.bots')} flush actions={<Link to="/bots">{t('home.allBots')}</Link>}>
            <QueryState query={bots} loading={<Skeletons shape="rows" />}>
              {(list) => <BotTable bots={list.items} />}
            </QueryState>
          </Panel>
        </div>
        <div className="home-column">
          <NeedsYou overview={overview} />
          <LastFills fills={overview.lastFills} />
        </div>
      </div>
    </>
  );
}

function FreeFacts({ overview }: { overview: Overview }) {
  const t = useT();
  return (
    <span>
      {t('equity.free')} <Amount value={overview.free} tick={MONEY_TICK} unit={overview.quote} />
      {' · '}
      {t('bots.openOrders', { count: overview.openOrders })}
    </span>
  );
}

export function NewBotButton() {
  const t = useT();
  const { data: me } = useQuery(meQuery());
  return me?.mayTrade === false ? null : (
    <ButtonLink to="/bots/new" leftSection={<IconPlus size={16} aria-hidden />}>
      {t('home.newBot')}
    </ButtonLink>
  );
}

function NeedsYou({ overview }: { overview: Overview }) {
  const t = useT();
  const textOf = useMessageText();
  const reasonOf = useReasonText();
  const { data: bots } = useQuery(botsQuery());
  const needs = overview.needs;
  return (
    <Panel
      title={needs.length === 0 ? t('home.needsYou') : t('home.needsYouCount', { count: needs.length })}
      flush
      {...(needs.length === 0 ? {} : { tone: 'warn' as const })}
    >
      {needs.length === 0 ? (
        <p className="quiet">{t('home.needsNothing')}</p>
      ) : (
        <ul className="needs">
          {needs.map((need) => {
            const stopped = botToExplain(need, bots?.items);
            const why = stopped === undefined ? null : reasonOf(stopped);
            return (
              <li key={`${need.kind} ${need.botId ?? ''}`}>
                <IconAlertCircle size={18} aria-hidden className="needs-icon" />
                <span>
                  {textOf(need)}{' '}
                  <span className="av-muted av-nowrap">
                    {t('home.since')} <Time value={need.since} />
                  </span>
                  {why === null ? null : <span className="reason">{why}</span>}
                </span>
                {need.botId === null ? null : (
                  <Link to="/bots/$id" params={{ id: need.botId }} className="needs-go">
                    {t('home.lookAt', { name: need.botName ?? '' })}
                  </Link>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Panel>
  );
}

function LastFills({ fills }: { fills: readonly Fill[] }) {
  const t = useT();
  return (
    <Panel title={t('home.lastFills')} flush actions={<Link to="/trades">{t('home.allTrades')}</Link>}>
      {fills.length === 0 ? <p className="quiet">{t('home.noFills')}</p> : <FillLines fills={fills} />}
    </Panel>
  );
}

function EmptyHome({ overview }: { overview: Overview }) {
  const t = useT();
  const figures = useFigures();
  return (
    <>
      <PageTitle tone="work" facts={<FreeFacts overview={overview} />}>
        {t('home.title')}
      </PageTitle>
      <EmptyState title={t('home.emptyTitle')}>
        {t('home.emptyText', { amount: figures.amount(overview.equity, { unit: overview.quote }) })}
      </EmptyState>
      <PresetCards free={overview.free} />
    </>
  );
}
