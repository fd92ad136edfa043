/** A fill as a mark on the time axis of a chart. */
export interface ChartFill {
  /** UTC seconds. */
  time: number;
  side: 'buy' | 'sell';
}

export interface FillMark {
  /** The start of the candle the fills fell into. */
  time: number;
  side: 'buy' | 'sell';
  count: number;
}

/** The last candle that began at or before a moment; null before the first one. */
export function candleStart(starts: readonly number[], time: number): number | null {
  let low = 0;
  let high = starts.length - 1;
  let found: number | null = null;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const start = starts[middle] ?? Number.POSITIVE_INFINITY;
    if (start <= time) {
      found = start;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  return found;
}

/**
 * Fills clustered by side and candle: a busy grid fills many times within one candle and single marks would hide the
 * candle itself. Where candles are narrow, those of `apart` neighbouring ones stand together at the first, so that no
 * count lies on the next. Sorted by time, as the library demands.
 */
export function clusterFills(fills: readonly ChartFill[], starts: readonly number[], apart = 1): FillMark[] {
  const places = new Map(starts.map((start, index) => [start, index]));
  const marks: FillMark[] = [];
  const open: Partial<Record<ChartFill['side'], { mark: FillMark; place: number }>> = {};
  for (const fill of fills.toSorted((a, b) => a.time - b.time)) {
    const time = candleStart(starts, fill.time);
    const place = time === null ? undefined : places.get(time);
    if (time === null || place === undefined) {
      continue;
    }
    const known = open[fill.side];
    if (known !== undefined && place - known.place < apart) {
      known.mark.count += 1;
    } else {
      const mark = { time, side: fill.side, count: 1 };
      open[fill.side] = { mark, place };
      marks.push(mark);
    }
  }
  return marks.toSorted((a, b) => a.time - b.time || a.side.localeCompare(b.side));
}
