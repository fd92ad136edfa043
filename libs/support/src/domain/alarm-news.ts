import { alarmRank, type Alarm } from '#libs/contracts';

/** An alarm and what operators were mailed about it. */
export interface ToldAlarm extends Pick<Alarm, 'severity' | 'params'> {
  endedAt: Date | null;
  acknowledgedAt: Date | null;
  /** When they were last mailed that it is so. */
  mailedAt: Date | null;
  /** How bad it was then; null once they were mailed that it is over. */
  mailedRank: number | null;
}

/** What comes and goes is told once an hour at most. */
const QUIET_MS = 3_600_000;
/** What ended counts as over after this long; before it may only be between two fits. */
const OVER_MS = 600_000;

/**
 * What operators are to be mailed now: that it is so, that it is over, or nothing. That it is so is told once; again
 * only when it got worse. One that somebody has acknowledged is no news.
 */
export function alarmNews(alarm: ToldAlarm, now: Date): 'open' | 'over' | null {
  const { endedAt, acknowledgedAt, mailedAt, mailedRank } = alarm;
  if (endedAt !== null) {
    return mailedRank !== null && now.getTime() - endedAt.getTime() >= OVER_MS ? 'over' : null;
  }
  if (acknowledgedAt !== null) {
    return null;
  }
  if (mailedRank !== null) {
    return alarmRank(alarm) > mailedRank ? 'open' : null;
  }
  return mailedAt === null || now.getTime() - mailedAt.getTime() >= QUIET_MS ? 'open' : null;
}
