/** How many good backups stay: the last, and the newest of each of that many days, weeks and months that have one. */
export interface RetentionPolicy {
  last: number;
  daily: number;
  weekly: number;
  monthly: number;
}

/** What somebody took by hand in a day, a week of days, a month of weeks, half a year of months. */
export const RETENTION: RetentionPolicy = { last: 10, daily: 7, weekly: 4, monthly: 6 };

export interface KnownBackup {
  id: string;
  takenAt: Date;
  state: 'dumped' | 'stored' | 'verified' | 'failed';
  /** Something still stands on it: a release that may be rolled back to, a restore whose safety it is. */
  held: boolean;
}

/** One that was stored and could not be verified yet may be by a later try; afterwards it is worth nothing. */
const TRIES_MS = 2 * 86_400_000;

/**
 * Which backups go. None while the newest one is not verified: what was believed to be good may be all there is, and
 * what makes new ones bad may have made others bad. The newest verified one stays in any case. Days are those of the
 * zone; periods without a backup do not count, so a stack that stopped for a year keeps its history.
 */
export function expired(backups: readonly KnownBackup[], policy: RetentionPolicy, zone: string, now: Date): string[] {
  const newestFirst = backups.toSorted((a, b) => b.takenAt.getTime() - a.takenAt.getTime() || (a.id < b.id ? 1 : -1));
  if (newestFirst[0]?.state !== 'verified') {
    return [];
  }
  const good = newestFirst.filter(({ state }) => state === 'verified');
  const keep = new Set([
    newestFirst[0].id,
    ...good.slice(0, policy.last).map(({ id }) => id),
    ...newestOfEach(good, policy.daily, (date) => dayOf(date, zone)),
    ...newestOfEach(good, policy.weekly, (date) => weekOf(date, zone)),
    ...newestOfEach(good, policy.monthly, (date) => dayOf(date, zone).slice(0, 7)),
  ]);
  return newestFirst
    .filter(({ id, state, held, takenAt }) => {
      const mayBeVerified = state !== 'verified' && state !== 'failed' && now.getTime() - takenAt.getTime() < TRIES_MS;
      return !keep.has(id) && !held && !mayBeVerified;
    })
    .map(({ id }) => id);
}

function newestOfEach(newestFirst: readonly KnownBackup[], count: number, period: (date: Date) => string): string[] {
  const kept = new Map<string, string>();
  for (const { id, takenAt } of newestFirst) {
    const key = period(takenAt);
    if (kept.size < count && !kept.has(key)) {
      kept.set(key, id);
    }
  }
  return [...kept.values()];
}

/** `2026-11-21` in the zone. */
export function dayOf(date: Date, zone: string): string {
  // Canada writes dates as ISO 8601 does.
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short' }).format(date);
}

/** Year and number of the week by ISO 8601: weeks begin on Monday, and belong to the year of their Thursday. */
function weekOf(date: Date, zone: string): string {
  const day = new Date(`${dayOf(date, zone)}T00:00:00Z`);
  const thursday = new Date(day.getTime() + (4 - (day.getUTCDay() || 7)) * 86_400_000);
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = Math.floor((thursday.getTime() - first) / (7 * 86_400_000)) + 1;
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
