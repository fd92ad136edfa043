import type { BackupReason } from '#libs/contracts';

/**
 * How many good backups stay: those of the last 24 hours, the last, and the newest of each of that many days, weeks and
 * months that have one.
 */
export interface RetentionPolicy {
  last: number;
  daily: number;
  weekly: number;
  monthly: number;
}

/** What a plan says of days, weeks and months; of what somebody takes by hand in a day as many stay as of days. */
export function retentionOf({ daily, weekly, monthly }: Omit<RetentionPolicy, 'last'>): RetentionPolicy {
  return { last: daily, daily, weekly, monthly };
}

/** Of the portal itself, which no plan speaks of. */
export const PORTAL_RETENTION: RetentionPolicy = { last: 7, daily: 7, weekly: 4, monthly: 6 };

export interface KnownBackup {
  id: string;
  takenAt: Date;
  state: 'dumped' | 'stored' | 'verified' | 'failed';
  /** Something still stands on it: a restore whose safety it is, what puts it back at the moment. */
  held: boolean;
}

const SAFETY_HELD_MS = 7 * 86_400_000;

/** What was taken before a restore or an upgrade is held for a week: by it one goes back once it shows that one has to. */
export function isHeldForSafety(
  { reason, takenAt }: { reason: BackupReason; takenAt: Date | null },
  now: Date,
): boolean {
  return reason === 'safety' && takenAt !== null && now.getTime() - takenAt.getTime() < SAFETY_HELD_MS;
}

/** Whoever takes several before something risky, whatever the hour, finds the first of them while he is at it. */
const ALL_HELD_MS = 86_400_000;

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
      const isYoungerThan = (ms: number): boolean => now.getTime() - takenAt.getTime() < ms;
      const mayBeVerified = state !== 'verified' && state !== 'failed' && isYoungerThan(TRIES_MS);
      const isOfToday = state === 'verified' && isYoungerThan(ALL_HELD_MS);
      return !keep.has(id) && !held && !mayBeVerified && !isOfToday;
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

/** Making one takes longer than thousands of dates do. */
const formats = new Map<string, Intl.DateTimeFormat>();

/** `2026-11-21` in the zone. */
export function dayOf(date: Date, zone: string): string {
  // Canada writes dates as ISO 8601 does.
  const format = formats.get(zone) ?? new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short' });
  formats.set(zone, format);
  return format.format(date);
}

/** Year and number of the week by ISO 8601: weeks begin on Monday, and belong to the year of their Thursday. */
function weekOf(date: Date, zone: string): string {
  const day = new Date(`${dayOf(date, zone)}T00:00:00Z`);
  const thursday = new Date(day.getTime() + (4 - (day.getUTCDay() || 7)) * 86_400_000);
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = Math.floor((thursday.getTime() - first) / (7 * 86_400_000)) + 1;
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
