import {
  CandlestickSeries,
  CrosshairMode,
  LineStyle,
  TickMarkType,
  createChart,
  createSeriesMarkers,
  type IChartApi,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type SeriesMarker,
  type Time,
  type UTCTimestamp,
} from 'lightweight-charts';
import {
  crosshairLabel,
  readChartColours,
  tickLabel,
  type ChartColours,
  type ChartZone,
  type TickKind,
} from '#libs/ui';
import { useEffect, useLayoutEffect, useRef } from 'react';
import { fromChartNumber, toChartNumber, toChartTime } from './chart-number.js';
import { clusterFills, type ChartFill, type FillMark } from './fill-markers.js';
import { LevelLines, type ChartLevel } from './level-lines.js';

export interface ChartCandle {
  at: string;
  open: string;
  high: string;
  low: string;
  close: string;
}

export interface PriceChartProps {
  candles: readonly ChartCandle[];
  levels: readonly ChartLevel[];
  fills?: readonly ChartFill[];
  /** Exact words for a price on the axis. */
  formatPrice: (price: string) => string;
  tick: string;
  zone: ChartZone;
  /** Changes when the theme does, so that canvas colours are read again. */
  scheme: string;
  height: number;
  summary: string;
  /** A level was dragged to this price, already on the tick. */
  onDrag?: (id: string, price: string) => void;
}

interface Parts {
  chart: IChartApi;
  series: ISeriesApi<'Candlestick'>;
  lines: LevelLines;
  markers: ISeriesMarkersPluginApi<Time>;
}

const TICK_KINDS: Record<TickMarkType, TickKind> = {
  [TickMarkType.Year]: 'year',
  [TickMarkType.Month]: 'month',
  [TickMarkType.DayOfMonth]: 'day',
  [TickMarkType.Time]: 'minute',
  [TickMarkType.TimeWithSeconds]: 'second',
};
/** Width of a count such as ×128 with air around it. */
const COUNT_PX = 40;
/** How far a finger or pointer may be from a line and still take hold of it, in CSS pixels. */
const REACH = { mouse: 6, touch: 16 };

export function PriceChart(props: PriceChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const parts = useRef<Parts | null>(null);
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
    const made = build(element, latest);
    parts.current = made;
    const stopDragging = dragLevels(element, made, latest);
    return () => {
      stopDragging();
      made.chart.remove();
      parts.current = null;
    };
  }, []);

  useEffect(() => {
    const element = host.current;
    if (element !== null && parts.current !== null) {
      paint(parts.current, readChartColours(element), latest.current);
    }
  }, [props.scheme, props.zone.timeZone, props.zone.locale, props.tick]);

  useEffect(() => {
    const known = parts.current;
    if (known === null) {
      return;
    }
    const first = known.series.data().length === 0;
    known.series.setData(props.candles.map(toBar));
    if (first && props.candles.length > 0) {
      const last = props.candles.length - 1;
      // a candle of at least 5 px: more history is a drag away
      const shown = Math.min(last, Math.floor((host.current?.clientWidth ?? 600) / 6));
      known.chart.timeScale().setVisibleLogicalRange({ from: last - shown, to: last + 3 });
    }
  }, [props.candles]);

  useEffect(() => {
    if (host.current !== null) {
      parts.current?.lines.set(props.levels, readChartColours(host.current));
    }
  }, [props.levels, props.scheme]);

  useEffect(() => {
    const known = parts.current;
    if (host.current === null || known === null) {
      return undefined;
    }
    const colours = readChartColours(host.current);
    const starts = props.candles.map((candle) => toChartTime(candle.at));
    const scale = known.chart.timeScale();
    let drawn = 0;
    const draw = (): void => {
      const apart = Math.ceil(COUNT_PX / scale.options().barSpacing);
      if (apart !== drawn) {
        drawn = apart;
        known.markers.setMarkers(toMarkers(clusterFills(props.fills ?? [], starts, apart), colours));
      }
    };
    draw();
    scale.subscribeVisibleLogicalRangeChange(draw);
    return () => scale.unsubscribeVisibleLogicalRangeChange(draw);
  }, [props.fills, props.candles, props.scheme]);

  // one image with a summary: the library builds tables of canvases inside
  // oxlint-disable-next-line jsx-a11y/prefer-tag-over-role
  return <div ref={host} role="img" aria-label={props.summary} style={{ height: props.height, width: '100%' }} />;
}

type Latest = { readonly current: PriceChartProps };

function build(element: HTMLElement, latest: Latest): Parts {
  const colours = readChartColours(element);
  const chart = createChart(element, {
    autoSize: true,
    layout: { attributionLogo: false, fontFamily: "'Inter Variable', system-ui, sans-serif", fontSize: 12 },
    localization: { priceFormatter: (price: number) => wordsOf(price, latest.current) },
    crosshair: { mode: CrosshairMode.Normal },
    // the page scrolls with the wheel and one finger; the chart zooms with ctrl+wheel and two fingers
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.08 } },
    timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4 },
  });
  const series = chart.addSeries(CandlestickSeries, { priceLineWidth: 2, priceLineStyle: LineStyle.Solid });
  const lines = new LevelLines(colours);
  series.attachPrimitive(lines);
  const parts = { chart, series, lines, markers: createSeriesMarkers(series, []) };
  paint(parts, colours, latest.current);
  return parts;
}

function wordsOf(position: number, props: PriceChartProps): string {
  return props.formatPrice(fromChartNumber(position, props.tick));
}

/** Up candles hollow, down candles filled: direction reads without colour. */
function paint({ chart, series }: Parts, colours: ChartColours, { zone, tick }: PriceChartProps): void {
  chart.applyOptions({
    layout: { background: { color: 'transparent' }, textColor: colours.muted },
    grid: { vertLines: { visible: false }, horzLines: { color: colours.line, style: LineStyle.Dotted } },
    rightPriceScale: { borderColor: colours.line },
    localization: { locale: zone.locale, timeFormatter: (time: Time) => crosshairLabel(time as number, zone) },
    timeScale: {
      borderColor: colours.line,
      tickMarkFormatter: (time: Time, type: TickMarkType) => tickLabel(time as number, TICK_KINDS[type], zone),
    },
    crosshair: {
      vertLine: { color: colours.muted, labelBackgroundColor: colours.text },
      horzLine: { color: colours.muted, labelBackgroundColor: colours.text },
    },
  });
  series.applyOptions({
    upColor: 'transparent',
    borderUpColor: colours.up,
    wickUpColor: colours.up,
    downColor: colours.down,
    borderDownColor: colours.down,
    wickDownColor: colours.down,
    priceLineColor: colours.text,
    priceFormat: { type: 'custom', minMove: toChartNumber(tick), formatter: (price: number) => String(price) },
  });
}

function toBar(candle: ChartCandle) {
  return {
    time: toChartTime(candle.at) as UTCTimestamp,
    open: toChartNumber(candle.open),
    high: toChartNumber(candle.high),
    low: toChartNumber(candle.low),
    close: toChartNumber(candle.close),
  };
}

function toMarkers(marks: readonly FillMark[], colours: ChartColours): SeriesMarker<Time>[] {
  return marks.map((mark) => ({
    time: mark.time as UTCTimestamp,
    position: mark.side === 'buy' ? 'belowBar' : 'aboveBar',
    shape: mark.side === 'buy' ? 'arrowUp' : 'arrowDown',
    color: mark.side === 'buy' ? colours.up : colours.down,
    ...(mark.count > 1 ? { text: `×${mark.count}` } : {}),
  }));
}

/** Dragging a line is typing a price: the field beside the chart is the keyboard's way to the same thing. */
function dragLevels(element: HTMLElement, { chart, series, lines }: Parts, latest: Latest): () => void {
  let held: ChartLevel | null = null;
  const heightOf = (event: PointerEvent) => event.clientY - element.getBoundingClientRect().top;
  const reachOf = (event: PointerEvent) => (event.pointerType === 'touch' ? REACH.touch : REACH.mouse);
  const lock = (locked: boolean) =>
    chart.applyOptions({
      handleScroll: { pressedMouseMove: !locked, horzTouchDrag: !locked },
      rightPriceScale: { autoScale: !locked },
    });

  const down = (event: PointerEvent) => {
    held = latest.current.onDrag === undefined ? null : lines.draggableNear(heightOf(event), reachOf(event));
    if (held !== null) {
      event.preventDefault();
      event.stopPropagation();
      element.setPointerCapture(event.pointerId);
      lock(true);
    }
  };
  const move = (event: PointerEvent) => {
    if (held === null) {
      const near = latest.current.onDrag !== undefined && lines.draggableNear(heightOf(event), reachOf(event));
      element.style.cursor = near ? 'ns-resize' : '';
      return;
    }
    event.stopPropagation();
    const price = series.coordinateToPrice(heightOf(event));
    if (price !== null) {
      latest.current.onDrag?.(held.id, fromChartNumber(price, latest.current.tick));
    }
  };
  const up = () => {
    if (held !== null) {
      held = null;
      lock(false);
    }
  };
  // capture: the chart listens on its own canvas and would scroll before we hear of it
  element.addEventListener('pointerdown', down, { capture: true });
  element.addEventListener('pointermove', move, { capture: true });
  element.addEventListener('pointerup', up, { capture: true });
  element.addEventListener('pointercancel', up, { capture: true });
  return () => {
    element.removeEventListener('pointerdown', down, { capture: true });
    element.removeEventListener('pointermove', move, { capture: true });
    element.removeEventListener('pointerup', up, { capture: true });
    element.removeEventListener('pointercancel', up, { capture: true });
  };
}
