/**
 * Chart data stays in UTC and only the labels are shifted: shifted data break when clocks go back. Both chart
 * libraries take their labels from here, so the zone switch moves them together with every other time on the page.
 */
export type TickKind = 'year' | 'month' | 'day' | 'minute' | 'second';

export interface ChartZone {
  /** An IANA name; `UTC` when the switch says so. */
  timeZone: string;
  locale: string;
}

const SHAPES: Record<TickKind, Intl.DateTimeFormatOptions> = {
  year: { year: 'numeric' },
  month: { month: 'short', year: 'numeric' },
  day: { day: 'numeric', month: 'short' },
  minute: { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  second: { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
};
const CROSSHAIR: Intl.DateTimeFormatOptions = { ...SHAPES.day, ...SHAPES.minute };

// A formatter costs about 50 µs to make and a redraw asks for a dozen labels.
const formatters = new Map<string, Intl.DateTimeFormat>();
function formatter(name: string, options: Intl.DateTimeFormatOptions, zone: ChartZone): Intl.DateTimeFormat {
  const key = `${name} ${zone.locale} ${zone.timeZone}`;
  const known = formatters.get(key);
  if (known !== undefined) {
    return known;
  }
  const made = new Intl.DateTimeFormat(zone.locale, { ...options, timeZone: zone.timeZone });
  formatters.set(key, made);
  return made;
}

export function tickLabel(seconds: number, kind: TickKind, zone: ChartZone): string {
  return formatter(kind, SHAPES[kind], zone).format(seconds * 1000);
}

export function crosshairLabel(seconds: number, zone: ChartZone): string {
  return formatter('crosshair', CROSSHAIR, zone).format(seconds * 1000);
}

/** Which shape the ticks of an axis need, from the time between two of them. */
export function tickKindOf(spacingSeconds: number): TickKind {
  if (spacingSeconds < 60) {
    return 'second';
  }
  return spacingSeconds < 86_400 ? 'minute' : 'day';
}

/**
 * Labels of one axis: within a day the hour; the first tick of another day shows its date, since 00:00 alone
 * does not say which day began.
 */
export function axisLabels(ticks: number[], zone: ChartZone): string[] {
  const spacing = ticks.length > 1 ? (ticks[1] ?? 0) - (ticks[0] ?? 0) : 3600;
  const kind = tickKindOf(spacing);
  if (kind === 'day') {
    return ticks.map((tick) => tickLabel(tick, 'day', zone));
  }
  let lastDay = ticks.length > 0 ? tickLabel(ticks[0] ?? 0, 'day', zone) : '';
  return ticks.map((tick) => {
    const day = tickLabel(tick, 'day', zone);
    const label = day === lastDay ? tickLabel(tick, kind, zone) : day;
    lastDay = day;
    return label;
  });
}
