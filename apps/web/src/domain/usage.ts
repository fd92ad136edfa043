import type { UsagePoint } from '#libs/contracts';

export const USAGE_CHARTS = ['memory', 'cpu', 'network', 'disk'] as const;
export type UsageChart = (typeof USAGE_CHARTS)[number];

/** Spans that are missing between two points are a gap once nothing came for longer than this many of them. */
const GAP_SPANS = 2;

/**
 * The line of one figure, with a null where nothing was measured for a while. Traffic is bytes a second; disk is
 * measured less often than the rest, so spans without it are left out and make no gap.
 */
export function lineOf(
  points: readonly UsagePoint[],
  chart: UsageChart,
  stepSeconds: number,
): { at: number; value: number | null }[] {
  const line: { at: number; value: number | null }[] = [];
  for (const point of points) {
    const value = figureOf(point, chart, stepSeconds);
    if (chart === 'disk' && value === null) {
      continue;
    }
    const at = Date.parse(point.at) / 1_000;
    const before = line.at(-1);
    if (before !== undefined && chart !== 'disk' && at - before.at > GAP_SPANS * stepSeconds) {
      line.push({ at: before.at + stepSeconds, value: null });
    }
    line.push({ at, value });
  }
  return line;
}

function figureOf(point: UsagePoint, chart: UsageChart, stepSeconds: number): number | null {
  switch (chart) {
    case 'memory':
      return point.memoryBytes;
    case 'cpu':
      return point.cpu;
    case 'disk':
      return point.diskBytes;
    case 'network':
      return point.receivedBytes === null && point.sentBytes === null
        ? null
        : ((point.receivedBytes ?? 0) + (point.sentBytes ?? 0)) / stepSeconds;
  }
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** A size in the unit a person would choose: the value with at most one decimal, and the unit. Steps of 1 024. */
export function byteParts(bytes: number): { value: string; unit: (typeof UNITS)[number] } {
  let value = bytes;
  let index = 0;
  while (value >= 1_024 && index < UNITS.length - 1) {
    value /= 1_024;
    index += 1;
  }
  const text = value >= 100 || index === 0 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, '');
  // 1 023.96 KB would read "1024 KB"
  return text === '1024' && index < UNITS.length - 1
    ? { value: '1', unit: UNITS[index + 1] ?? 'B' }
    : { value: text, unit: UNITS[index] ?? 'B' };
}

/** All digits of a count, to be compared with another: in groups of three, which no line break parts. */
export const exactCount = (count: number): string => String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, '\u00a0');

/** Distances between marks of an axis of bytes: 1, 2, 4, … of each unit, so that its words are round. */
export const BYTE_MARKS: readonly number[] = Array.from({ length: 45 }, (_unused, power) => 2 ** power);
