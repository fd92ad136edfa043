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
 * Fills clustered by candle and side: a busy grid fills many times within one candle and single marks would hide
 * the candle itself. Sorted by time, as the library demands.
 */
export function clusterFills(fills: readonly ChartFill[], starts: readonly number[]): FillMark[] {
  const marks = new Map<string, FillMark>();
  for (const fill of fills) {
    const time = candleStart(starts, fill.time);
    if (time === null) {
      continue;
    }
    const key = `${time} ${fill.side}`;
    const known = marks.get(key);
    if (known === undefined) {
      marks.set(key, { time, side: fill.side, count: 1 });
    } else {
      known.count += 1;
    }
  }
  return [...marks.values()].toSorted((a, b) => a.time - b.time || a.side.localeCompare(b.side));
}
