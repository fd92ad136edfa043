import type { ZoneChoice } from '#libs/ui';

/** First and last day, both within: `2026-11-20`. */
export interface Days {
  from?: string | undefined;
  to?: string | undefined;
}

/** A day of the calendar, as a date field writes it. */
export function isDay(text: unknown): text is string {
  if (typeof text !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(text)) {
    return false;
  }
  const at = new Date(`${text}T00:00:00.000Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
}

function dayStart(day: string, offset: number, zone: ZoneChoice): string {
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number);
  const at =
    zone === 'utc' ? new Date(Date.UTC(year, month - 1, date + offset)) : new Date(year, month - 1, date + offset);
  return at.toISOString();
}

/** Days as times of the API, of which the end is exclusive; days begin at midnight of the zone times are shown in. */
export function daysToTimes({ from, to }: Days, zone: ZoneChoice): Days {
  return {
    ...(from === undefined ? {} : { from: dayStart(from, 0, zone) }),
    ...(to === undefined ? {} : { to: dayStart(to, 1, zone) }),
  };
}
