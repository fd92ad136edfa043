import { type CandleInterval, type Fill, type Pair } from '#libs/contracts';
import { arrived } from '#libs/ui';
import { useComputedColorScheme } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useMemo } from 'react';
import { candlesQuery } from '../api/queries.js';
import { toChartTime } from '../charts/chart-number.js';
import type { ChartLevel } from '../charts/level-lines.js';
import { ChartPlace } from './equity-panel.js';
import { useFigures } from './figures.js';
import { QueryState } from './query-state.js';
import { useChartHeight } from './use-chart-height.js';

const PriceChart = lazy(async () => ({ default: (await arrived(import('../charts/price-chart.js'))).PriceChart }));
const NO_FILLS: readonly Fill[] = [];

export interface CandleChartProps {
  pair: Pair;
  interval: CandleInterval;
  tick: string;
  levels: readonly ChartLevel[];
  fills?: readonly Fill[];
  summary: string;
  height?: number;
  onDrag?: (id: string, price: string) => void;
}

/** Candles of a pair with levels and fills on them; loads its data and, once, the chart's code. */
export function CandleChart({
  pair,
  interval,
  tick,
  levels,
  fills = NO_FILLS,
  summary,
  height = 360,
  onDrag,
}: CandleChartProps) {
  const figures = useFigures();
  const scheme = useComputedColorScheme('light');
  const own = useChartHeight(height);
  const query = useQuery({ ...candlesQuery(pair, interval), placeholderData: keepPreviousData });
  const marks = useMemo(() => fills.map((fill) => ({ time: toChartTime(fill.at), side: fill.side })), [fills]);
  return (
    <QueryState query={query} loading={<ChartPlace height={height} />}>
      {(candles) => (
        <Suspense fallback={<ChartPlace height={height} />}>
          <PriceChart
            key={`${candles.pair} ${candles.interval}`}
            candles={candles.items}
            levels={levels}
            fills={marks}
            formatPrice={(price) => figures.price(price, tick)}
            tick={tick}
            zone={figures.zone}
            scheme={scheme}
            height={own}
            summary={summary}
            {...(onDrag === undefined ? {} : { onDrag })}
          />
        </Suspense>
      )}
    </QueryState>
  );
}
