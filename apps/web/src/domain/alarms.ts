import type { Alarm } from '#libs/contracts';

const worse = (alarm: Alarm): number =>
  (alarm.acknowledgedAt === null ? 0 : 2) + (alarm.severity === 'critical' ? 0 : 1);

/** The open ones: those nobody has acknowledged first, of these the critical ones, of these the newest. */
export function openAlarms(alarms: readonly Alarm[]): Alarm[] {
  return alarms
    .filter(({ endedAt }) => endedAt === null)
    .toSorted((a, b) => worse(a) - worse(b) || b.since.localeCompare(a.since));
}

/** The open ones that nobody has acknowledged. */
export function unknownAlarms(alarms: readonly Alarm[]): Alarm[] {
  return openAlarms(alarms).filter(({ acknowledgedAt }) => acknowledgedAt === null);
}

/** Those that ended, the newest end first. */
export function overAlarms(alarms: readonly Alarm[]): Alarm[] {
  return alarms
    .filter(({ endedAt }) => endedAt !== null)
    .toSorted((a, b) => (b.endedAt ?? '').localeCompare(a.endedAt ?? ''));
}
