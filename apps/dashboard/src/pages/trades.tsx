import { PAIRS, type Pair, type TradeList } from '#libs/contracts';
import { Amount, EmptyState, PageTitle, Panel, useZone } from '#libs/ui';
import { Button, NativeSelect, TextInput } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import type { TradeFilter } from '../api/keys.js';
import { botsQuery, tradesCsvHref, tradesQuery } from '../api/queries.js';
import { useTitle } from '../app/use-title.js';
import { daysToTimes, isDay } from '../domain/days.js';
import { sum } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { DataTable } from '../parts/data-table.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';
import { useLedgerTicks } from '../parts/use-market.js';
import { PagedList } from '../parts/paged-list.js';
import { useFillColumns } from './bot-tabs.js';

export function TradesPage() {
  const t = useT();
  useTitle(t('trades.title'));
  const search = useSearch({ from: '/trades' });
  const { choice } = useZone();
  const filter: TradeFilter = { ...search, ...daysToTimes(search, choice) };
  const query = useInfiniteQuery({ ...tradesQuery(filter), placeholderData: keepPreviousData });
  const columns = useFillColumns(true);
  const ticks = useLedgerTicks();
  const totals = query.data?.pages[0]?.totals;
  const filtered = Object.keys(search).length > 0;
  return (
    <>
      <PageTitle
        tone="work"
        actions={
          <Button
            component="a"
            variant="default"
            href={tradesCsvHref(filter)}
            download="trades.csv"
            leftSection={<IconDownload size={16} aria-hidden />}
          >
            {t('trades.csv')}
          </Button>
        }
      >
        {t('trades.title')}
      </PageTitle>
      <Filters filter={search} />
      <Panel flush>
        <PagedList query={query} empty={<NoTrades filtered={filtered} />}>
          {(fills) => (
            <>
              <DataTable
                label={t('trades.title')}
                columns={columns}
                rows={fills}
                rowKey={(fill) => fill.id}
                {...(totals === undefined
                  ? {}
                  : { total: totalsRow(totals, t('trades.totals', { count: totals.count }), ticks) })}
              />
              {totals === undefined ? null : <TotalsNote totals={totals} shown={fills.length} />}
            </>
          )}
        </PagedList>
      </Panel>
    </>
  );
}

/** The last row: what each column adds up to over everything that matches, not only over the rows in sight. */
function totalsRow(totals: TradeList['totals'], label: string, ticks: { value: string; fee: string }) {
  return {
    at: label,
    value: <Amount value={sum([totals.bought, totals.sold])} tick={ticks.value} />,
    fee: <Amount value={totals.fees} tick={ticks.fee} />,
    profit: <Amount value={totals.cellProfit} tick={ticks.fee} direction />,
  };
}

function TotalsNote({ totals, shown }: { totals: TradeList['totals']; shown: number }) {
  const t = useT();
  const figures = useFigures();
  return (
    <p className="totals-note">
      {t('trades.bought', { amount: figures.amount(totals.bought, { tick: MONEY_TICK }) })} ·{' '}
      {t('trades.sold', { amount: figures.amount(totals.sold, { tick: MONEY_TICK }) })} ·{' '}
      {t('trades.shown', { shown, count: totals.count })}
    </p>
  );
}

function NoTrades({ filtered }: { filtered: boolean }) {
  const t = useT();
  const navigate = useNavigate({ from: '/trades' });
  return filtered ? (
    <EmptyState
      title={t('trades.emptyFilter')}
      action={
        <Button variant="default" size="xs" onClick={() => void navigate({ search: {} })}>
          {t('trades.clear')}
        </Button>
      }
    >
      {t('trades.emptyFilterText')}
    </EmptyState>
  ) : (
    <EmptyState title={t('trades.empty')}>{t('trades.emptyText')}</EmptyState>
  );
}

function Filters({ filter }: { filter: TradeFilter }) {
  const t = useT();
  const navigate = useNavigate({ from: '/trades' });
  const { data: bots } = useQuery(botsQuery());
  const set = (part: TradeFilter) => void navigate({ search: (old) => ({ ...old, ...part }), replace: true });
  return (
    <div className="filters">
      <NativeSelect
        aria-label={t('fields.bot')}
        value={filter.bot ?? ''}
        data={[
          { value: '', label: t('trades.anyBot') },
          ...(bots?.items ?? []).map((bot) => ({ value: bot.id, label: bot.name })),
        ]}
        onChange={(event) => set({ bot: event.currentTarget.value || undefined })}
      />
      <NativeSelect
        aria-label={t('fields.pair')}
        value={filter.pair ?? ''}
        data={[{ value: '', label: t('trades.anyPair') }, ...PAIRS]}
        onChange={(event) => set({ pair: PAIRS.find((pair: Pair) => pair === event.currentTarget.value) })}
      />
      <NativeSelect
        aria-label={t('fields.side')}
        value={filter.side ?? ''}
        data={[
          { value: '', label: t('trades.anySide') },
          { value: 'buy', label: t('side.buy') },
          { value: 'sell', label: t('side.sell') },
        ]}
        onChange={(event) =>
          set({ side: (['buy', 'sell'] as const).find((side) => side === event.currentTarget.value) })
        }
      />
      {(['from', 'to'] as const).map((end) => (
        <TextInput
          key={end}
          type="date"
          aria-label={t(`trades.${end}`)}
          title={t(`trades.${end}`)}
          leftSection={<span className="av-muted">{t(`trades.${end}`)}</span>}
          leftSectionWidth={48}
          value={filter[end] ?? ''}
          max="9999-12-31"
          onChange={(event) => set({ [end]: isDay(event.currentTarget.value) ? event.currentTarget.value : undefined })}
        />
      ))}
    </div>
  );
}
