export type TimeStyle = 'datetime' | 'date' | 'time' | 'seconds';

export interface TimeFormat {
  locale: string;
  /** IANA zone name. */
  zone: string;
  style?: TimeStyle;
  /** Decides whether the year and the day are worth their space. */
  now?: number;
}

const OPTIONS: Record<TimeStyle, Intl.DateTimeFormatOptions> = {
  datetime: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  date: { day: 'numeric', month: 'short', year: 'numeric' },
  time: { hour: '2-digit', minute: '2-digit' },
  seconds: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
};

const cache = new Map<string, Intl.DateTimeFormat>();

function formatter(locale: string, zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale}|${zone}|${JSON.stringify(options)}`;
  let found = cache.get(key);
  if (found === undefined) {
    // a region makes English write "12 Nov", not "Nov 12": day before month reads the same everywhere
    found = new Intl.DateTimeFormat(locale === 'en' ? 'en-GB' : locale, {
      ...options,
      timeZone: zone,
      hourCycle: 'h23',
    });
    cache.set(key, found);
  }
  return found;
}

const dayOf = (at: number, zone: string): string =>
  formatter('en', zone, { year: 'numeric', month: '2-digit', day: '2-digit' }).format(at);

/** A moment in a zone. `datetime` leaves the day out for today and names the year of another one. */
export function formatTime(at: number, format: TimeFormat): string {
  const { locale, zone, style = 'datetime', now } = format;
  if (style === 'datetime' && now !== undefined) {
    if (dayOf(at, zone) === dayOf(now, zone)) {
      return formatter(locale, zone, OPTIONS.time).format(at);
    }
    if (dayOf(at, zone).slice(-4) !== dayOf(now, zone).slice(-4)) {
      return formatter(locale, zone, { ...OPTIONS.datetime, year: 'numeric' }).format(at);
    }
  }
  return formatter(locale, zone, OPTIONS[style]).format(at);
}

/** What a hover shows: the exact moment, always UTC. */
export function utcTitle(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
