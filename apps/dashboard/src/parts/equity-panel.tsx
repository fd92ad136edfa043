import { EQUITY_RANGES, type EquitySeries, type Fill } from '#libs/contracts';
import { Amount, arrived, Panel, Skeletons, Time } from '#libs/ui';
import { SegmentedControl, useComputedColorScheme } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useMemo, useState, type ReactNode } from 'react';
import type { EquityRange } from '../api/keys.js';
import { equityQuery } from '../api/queries.js';
import { toChartTime } from '../charts/chart-number.js';
import { compare } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { DataTable } from './data-table.js';
import { MONEY_TICK, useFigures } from './figures.js';
import { QueryState } from './query-state.js';
import { useChartHeight } from './use-chart-height.js';

const EquityChart = lazy(async () => ({ default: (await arrived(import('../charts/equity-chart.js'))).EquityChart }));

export interface EquityPanelProps {
  /** Null: the whole account. */
  botId: string | null;
  title: string;
  range: EquityRange;
  onRange: (range: EquityRange) => void;
  fills: readonly Fill[];
  unit: string;
  height?: number;
}

export function EquityPanel({ botId, title, range, onRange, fills, unit, height = 260 }: EquityPanelProps) {
  const t = useT();
  const figures = useFigures();
  const [view, setView] = useState<'chart' | 'table'>('chart');
  const query = useQuery({ ...equityQuery(botId, range), placeholderData: keepPreviousData });
  // of a bot the page says it once, from every price; this one is from the points of the curve
  const drawdown = query.data === undefined || botId !== null ? null : figures.percent(query.data.maxDrawdown);
  return (
    <Panel
      title={
        <>
          {title}
          {drawdown === null ? null : (
            <span className="panel-note"> {t('equity.drawdown', { percent: drawdown })}</span>
          )}
        </>
      }
      actions={
        <span className="panel-tools">
          <ViewSwitch view={view} onView={setView} label={title} />
          <SegmentedControl
            size="xs"
            aria-label={t('equity.rangeLabel')}
            value={range}
            onChange={(value) => onRange(value as EquityRange)}
            data={EQUITY_RANGES.map((value) => ({ value, label: t(`equity.ranges.${value}`) }))}
          />
        </span>
      }
      flush
    >
      <QueryState query={query} loading={<ChartPlace height={height} />}>
        {(series) =>
          series.points.length < 2 ? (
            <p className="chart-empty">{t('equity.noPoints')}</p>
          ) : view === 'chart' ? (
            <EquityDrawing series={series} fills={fills} unit={unit} height={height} />
          ) : (
            <EquityTable series={series} unit={unit} />
          )
        }
      </QueryState>
    </Panel>
  );
}

/** The place a chart will take, so that nothing jumps when its code arrives. */
export function ChartPlace({ height }: { height: number }) {
  const own = useChartHeight(height);
  return (
    <div style={{ minHeight: own }} className="chart-place">
      <Skeletons shape="rows" count={3} />
    </div>
  );
}

export interface ViewSwitchProps {
  view: 'chart' | 'table';
  onView: (view: 'chart' | 'table') => void;
  label: string;
}

/** Whoever cannot use a canvas reads the same as a table. */
export function ViewSwitch({ view, onView, label }: ViewSwitchProps): ReactNode {
  const t = useT();
  return (
    <button
      type="button"
      className="text-button"
      aria-label={`${label}: ${view === 'chart' ? t('common.table') : t('common.chart')}`}
      onClick={() => onView(view === 'chart' ? 'table' : 'chart')}
    >
      {view === 'chart' ? t('common.table') : t('common.chart')}
    </button>
  );
}

interface SeriesProps {
  series: EquitySeries;
  unit: string;
}

function EquityDrawing({ series, fills, unit, height }: SeriesProps & { fills: readonly Fill[]; height: number }) {
  const t = useT();
  const figures = useFigures();
  const scheme = useComputedColorScheme('light');
  const own = useChartHeight(height);
  const marks = useMemo(() => fills.map((fill) => ({ time: toChartTime(fill.at), side: fill.side })), [fills]);
  const sorted = useMemo(() => series.points.map((point) => point.equity).toSorted(compare), [series.points]);
  const words = (amount: string | undefined) => figures.amount(amount ?? '0', { unit });
  const summary = t('equity.summary', {
    range: t(`equity.ranges.${series.range}`),
    from: words(series.points[0]?.equity),
    to: words(series.points.at(-1)?.equity),
    low: words(sorted[0]),
    high: words(sorted.at(-1)),
  });
  return (
    <Suspense fallback={<ChartPlace height={height} />}>
      <div className="chart-box">
        <EquityChart
          points={series.points}
          fills={marks}
          formatAmount={(amount) => figures.amount(amount)}
          zone={figures.zone}
          scheme={scheme}
          height={own}
          summary={summary}
        />
      </div>
    </Suspense>
  );
}

function EquityTable({ series, unit }: SeriesProps) {
  const t = useT();
  return (
    // a scrolling region must be reachable by keyboard
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <section className="chart-table" tabIndex={0} aria-label={t('equity.title')}>
      <DataTable
        label={t('equity.title')}
        rows={series.points.toReversed()}
        rowKey={(point) => point.at}
        columns={[
          {
            key: 'at',
            label: t('fields.time'),
            lead: true,
            cell: (point) => <Time value={point.at} style="datetime" />,
          },
          {
            key: 'equity',
            label: t('fields.equity'),
            numeric: true,
            cell: (point) => <Amount value={point.equity} tick={MONEY_TICK} unit={unit} />,
          },
        ]}
      />
    </section>
  );
}
