const MINUTE = 60_000;

/** How far back missed runs are looked for: a portal away for longer starts afresh. */
export const LOOK_BACK_MINUTES = 25 * 60;

/**
 * The times in (last, now] at which a schedule was due, newest `limit` of them, oldest first. Schedules are of whole
 * minutes, so each minute is asked once; `matches` is the cron expression.
 */
export function missedTimes(
  matches: (at: Date) => boolean,
  range: { last: Date; now: Date },
  limit: number,
): { due: Date[]; dropped: number } {
  const newest = Math.floor(range.now.getTime() / MINUTE);
  const oldest = Math.max(Math.floor(range.last.getTime() / MINUTE) + 1, newest - LOOK_BACK_MINUTES + 1);
  const all: Date[] = [];
  for (let minute = oldest; minute <= newest; minute += 1) {
    const at = new Date(minute * MINUTE);
    if (matches(at)) {
      all.push(at);
    }
  }
  const due = limit > 0 ? all.slice(-limit) : [];
  return { due, dropped: all.length - due.length };
}

/** The next time after `from` at which a schedule is due, or null; looks no further ahead than missed runs back. */
export function nextDue(matches: (at: Date) => boolean, from: Date): Date | null {
  const first = Math.floor(from.getTime() / MINUTE) + 1;
  for (let minute = first; minute < first + LOOK_BACK_MINUTES; minute += 1) {
    const at = new Date(minute * MINUTE);
    if (matches(at)) {
      return at;
    }
  }
  return null;
}

/** The newest time in (after, until] at which a schedule was due, or null; looks no further back than missed runs are. */
export function lastDue(matches: (at: Date) => boolean, after: Date, until: Date): Date | null {
  const newest = Math.floor(until.getTime() / MINUTE);
  for (let minute = newest; minute > newest - LOOK_BACK_MINUTES && minute * MINUTE > after.getTime(); minute -= 1) {
    const at = new Date(minute * MINUTE);
    if (matches(at)) {
      return at;
    }
  }
  return null;
}
