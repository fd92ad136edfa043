import type { MarketPair } from '#libs/contracts';
import { useMemo } from 'react';
import { toChartNumber } from '../charts/chart-number.js';
import type { ChartLevel, LevelKind } from '../charts/level-lines.js';
import type { GridDraft } from '../domain/draft.js';
import { readField } from '../domain/grid-form.js';
import { useT } from '../i18n/i18n.js';
import { CandleChart } from '../parts/candle-chart.js';
import { useFigures } from '../parts/figures.js';

const DRAGGABLE = [
  ['upper', 'bound'],
  ['lower', 'bound'],
  ['stopLoss', 'stop'],
  ['takeProfit', 'target'],
] as const satisfies readonly (readonly [keyof GridDraft, LevelKind])[];

export interface GridChartProps {
  market: MarketPair;
  draft: GridDraft;
  ladder: readonly { price: string; side: 'buy' | 'sell' | 'empty' }[];
  onChange: (change: Partial<GridDraft>) => void;
}

/** The grid being made, on hourly candles. Dragging a line types the price into its field. */
export function GridChart({ market, draft, ladder, onChange }: GridChartProps) {
  const t = useT();
  const figures = useFigures();
  const { upper, lower, stopLoss, takeProfit } = draft;
  const levels = useMemo(() => {
    const texts = { upper, lower, stopLoss, takeProfit };
    const lines: ChartLevel[] = ladder.map((rung) => ({
      id: rung.price,
      at: toChartNumber(rung.price),
      kind: rung.side,
    }));
    for (const [field, kind] of DRAGGABLE) {
      const { value } = readField(texts[field]);
      if (value !== null) {
        lines.push({
          id: field,
          at: toChartNumber(value),
          kind,
          label: figures.price(value, market.tick),
          draggable: true,
        });
      }
    }
    return lines;
  }, [ladder, upper, lower, stopLoss, takeProfit, figures, market.tick]);
  return (
    <CandleChart
      pair={market.pair}
      interval="1h"
      tick={market.tick}
      levels={levels}
      summary={t('grid.chartSummary', {
        pair: market.pair,
        lower,
        upper,
        price: figures.price(market.price, market.tick),
      })}
      onDrag={(id, price) => {
        if (DRAGGABLE.some(([field]) => field === id)) {
          onChange({ [id]: price, preset: null });
        }
      }}
    />
  );
}
