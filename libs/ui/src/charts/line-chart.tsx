import { useEffect, useLayoutEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { readChartColours, withAlpha, type ChartColours } from './chart-colours.js';
import { axisLabels, crosshairLabel, type ChartZone } from './chart-time.js';

export interface LinePoint {
  /** Seconds since 1970, UTC. */
  at: number;
  /** Null where nothing was measured: gaps stay gaps. */
  value: number | null;
}

export interface LineChartProps {
  /** Oldest first. */
  points: readonly LinePoint[];
  /** Words for a value, on the axis and under the crosshair. */
  format: (value: number) => string;
  /** Drawn as a dashed line, and always within the picture. */
  limit?: number;
  /** Distances of the axis's marks that read well, such as powers of two for bytes; decimal ones unless told. */
  marks?: readonly number[];
  zone: ChartZone;
  /** A change of theme draws anew, since canvases do not inherit colours. */
  scheme: string;
  height: number;
  /** What a person who cannot see it is told. */
  summary: string;
}

/** One line over time, from zero. */
export function LineChart(props: LineChartProps) {
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
    const made = new uPlot(
      options(element, latest, readChartColours(element), readout),
      toData(latest.current.points),
      element,
    );
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
  }, [props.scheme, props.zone.timeZone, props.zone.locale, props.height, props.limit, props.marks]);

  useEffect(() => {
    plot.current?.setData(toData(props.points));
  }, [props.points]);

  return (
    <div className="av-chart">
      {/* one image with a summary: the library builds canvases inside */}
      {/* oxlint-disable-next-line jsx-a11y/prefer-tag-over-role */}
      <div ref={host} role="img" aria-label={props.summary} style={{ height: props.height, width: '100%' }} />
      <div ref={readout} aria-hidden className="av-chart-readout" />
    </div>
  );
}

const toData = (points: readonly LinePoint[]): uPlot.AlignedData => [
  points.map(({ at }) => at),
  points.map(({ value }) => value),
];

function options(
  element: HTMLElement,
  latest: { readonly current: LineChartProps },
  colours: ChartColours,
  readout: { readonly current: HTMLDivElement | null },
): uPlot.Options {
  const { limit, marks } = latest.current;
  const axis = {
    stroke: colours.muted,
    ticks: { stroke: colours.line, size: 4 },
    font: '12px Inter Variable, sans-serif',
  };
  return {
    width: element.clientWidth,
    height: latest.current.height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7, fill: colours.series } },
    scales: {
      y: { range: (_plot, _low, high) => [0, Math.max((high ?? 0) * 1.1, (limit ?? 0) * 1.05) || 1] },
    },
    series: [
      {},
      {
        stroke: colours.series,
        width: 2,
        fill: withAlpha(colours.series, 0.1),
        spanGaps: false,
        // one value between two gaps has no line: it is a dot
        points: { show: (_plot, _series, first, last) => last - first < 3, size: 5, fill: colours.series },
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
        ...(marks === undefined ? {} : { incrs: [...marks] }),
        values: (_plot, ticks) => ticks.map((tick) => latest.current.format(tick)),
      },
    ],
    hooks: {
      draw: [(plot) => drawLimit(plot, limit, colours)],
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
                : `${crosshairLabel(at, latest.current.zone)} · ${latest.current.format(value)}`;
          }
        },
      ],
    },
  };
}

function drawLimit(plot: uPlot, limit: number | undefined, colours: ChartColours): void {
  if (limit === undefined) {
    return;
  }
  const { ctx, bbox } = plot;
  const y = Math.round(plot.valToPos(limit, 'y', true));
  ctx.save();
  ctx.strokeStyle = colours.warn;
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([6 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}
