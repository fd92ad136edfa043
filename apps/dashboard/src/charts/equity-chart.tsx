import { axisLabels, crosshairLabel, readChartColours, withAlpha, type ChartColours, type ChartZone } from '#libs/ui';
import { useEffect, useLayoutEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { toChartNumber, toChartTime } from './chart-number.js';
import type { ChartFill } from './fill-markers.js';

export interface EquityChartPoint {
  at: string;
  /** Null where nothing was recorded: gaps stay gaps. */
  equity: string | null;
}

export interface EquityChartProps {
  points: readonly EquityChartPoint[];
  fills?: readonly ChartFill[];
  /** Exact words for an amount, with its unit. */
  formatAmount: (amount: string) => string;
  zone: ChartZone;
  scheme: string;
  height: number;
  summary: string;
}

/** Words under the crosshair carry two decimals; the exact figure stands in the table view. */
const READOUT_TICK = 2;

export function EquityChart(props: EquityChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  // first of all effects: what is drawn below and by the library's own events reads the newest props
  useLayoutEffect(() => {
    latest.current = props;
  });

  useEffect(() => {
    const element = host.current;
    if (element === null) {
      return;
    }
    const colours = readChartColours(element);
    const made = new uPlot(options(element, { latest, colours, readout }), toData(latest.current.points), element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: latest.current.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [props.scheme, props.zone.timeZone, props.zone.locale, props.height]);

  useEffect(() => {
    plot.current?.setData(toData(props.points));
  }, [props.points]);

  useEffect(() => {
    plot.current?.redraw(false, false);
  }, [props.fills]);

  return (
    <div style={{ position: 'relative' }}>
      {/* one image with a summary: the library builds canvases inside */}
      {/* oxlint-disable-next-line jsx-a11y/prefer-tag-over-role */}
      <div ref={host} role="img" aria-label={props.summary} style={{ height: props.height, width: '100%' }} />
      <div ref={readout} aria-hidden className="chart-readout" />
    </div>
  );
}

function toData(points: readonly EquityChartPoint[]): uPlot.AlignedData {
  return [
    points.map((point) => toChartTime(point.at)),
    points.map((point) => (point.equity === null ? null : toChartNumber(point.equity))),
  ];
}

interface Around {
  latest: { readonly current: EquityChartProps };
  colours: ChartColours;
  readout: { readonly current: HTMLDivElement | null };
}

function options(element: HTMLElement, { latest, colours, readout }: Around): uPlot.Options {
  const axis = {
    stroke: colours.muted,
    ticks: { stroke: colours.line, size: 4 },
    font: '12px Inter Variable, sans-serif',
  };
  const amountOf = (position: number) => latest.current.formatAmount(position.toFixed(READOUT_TICK));
  return {
    width: element.clientWidth,
    height: latest.current.height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7, fill: colours.series } },
    scales: { y: { range: roomAround } },
    series: [
      {},
      {
        stroke: colours.series,
        width: 2,
        fill: withAlpha(colours.series, 0.1),
        spanGaps: false,
        points: { show: false },
      },
    ],
    axes: [
      {
        ...axis,
        size: 30,
        // room for hours, minutes and seconds
        space: 80,
        grid: { show: false },
        values: (_plot, ticks) => axisLabels(ticks, latest.current.zone),
      },
      {
        ...axis,
        side: 1,
        size: (_plot, labels) => 16 + 7.2 * Math.max(4, ...(labels ?? []).map((label) => label.length)),
        grid: { stroke: colours.line, width: 1, dash: [2, 3] },
        values: (_plot, ticks) => ticks.map(amountOf),
      },
    ],
    hooks: {
      draw: [(plot) => drawFills(plot, latest.current.fills ?? [], colours)],
      setCursor: [
        (plot) => {
          const box = readout.current;
          const index = plot.cursor.idx;
          const at = index === null || index === undefined ? undefined : plot.data[0][index];
          const value = index === null || index === undefined ? undefined : plot.data[1]?.[index];
          if (box !== null) {
            box.textContent =
              at === undefined || value === undefined || value === null
                ? ''
                : `${crosshairLabel(at, latest.current.zone)} · ${amountOf(value)}`;
          }
        },
      ],
    },
  };
}

/** A quiet account is a line through the middle, not a cliff: at least 0.2 % of the value is shown. */
function roomAround(_plot: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) {
    return [0, 1];
  }
  const room = Math.max((high - low) * 0.1, Math.abs(high) * 0.001, 0.01);
  return [low - room, high + room];
}

/** Fills as short ticks standing on the time axis: buys up from it, sells from a second row. */
function drawFills(plot: uPlot, fills: readonly ChartFill[], colours: ChartColours): void {
  const { ctx, bbox } = plot;
  const [from, to] = [plot.scales.x?.min ?? 0, plot.scales.x?.max ?? 0];
  const unit = uPlot.pxRatio;
  ctx.save();
  ctx.lineWidth = Math.max(1, Math.round(unit * 1.5));
  for (const fill of fills) {
    if (fill.time < from || fill.time > to) {
      continue;
    }
    const x = Math.round(plot.valToPos(fill.time, 'x', true));
    const bottom = bbox.top + bbox.height - (fill.side === 'buy' ? 0 : 8 * unit);
    ctx.strokeStyle = fill.side === 'buy' ? colours.up : colours.down;
    ctx.beginPath();
    ctx.moveTo(x, bottom);
    ctx.lineTo(x, bottom - 7 * unit);
    ctx.stroke();
  }
  ctx.restore();
}
