import { BACKUP_STATUS, type BackupView, type StackView, type StatusWord } from '#libs/contracts';

/** How a backup stands, to somebody who wants to know whether it counts. */
export interface BackupLook {
  status: StatusWord;
  /** Of one that nothing goes on with: what it is instead of its state's word. */
  left: 'notChecked' | 'brokenOff' | null;
}

/** It gave way to what somebody asked for: no fault, and nothing of it is left. */
const gaveWay = ({ error }: Pick<BackupView, 'error'>): boolean => error?.code === 'OPERATION_CANCELLED';

const BROKEN_OFF: BackupLook = { status: { ...BACKUP_STATUS.failed, tone: 'off', icon: 'Ban' }, left: 'brokenOff' };

export function lookOf(
  backup: Pick<BackupView, 'state' | 'operationId' | 'error'>,
  openOperation: string | null,
): BackupLook {
  const { state, operationId } = backup;
  if (state === 'failed' && gaveWay(backup)) {
    return BROKEN_OFF;
  }
  if (state === 'verified' || state === 'failed' || operationId === openOperation) {
    return { status: BACKUP_STATUS[state], left: null };
  }
  return state === 'stored' ? { status: { ...BACKUP_STATUS.stored, tone: 'warn' }, left: 'notChecked' } : BROKEN_OFF;
}

/** The newest one whose end is known, where that was no good one: why no newer data is safe. */
export function newestFailure(items: readonly BackupView[], openOperation: string | null): BackupView | null {
  const ended = items.find(
    (one) =>
      one.operationId !== openOperation &&
      !gaveWay(one) &&
      (one.state === 'verified' || one.state === 'failed' || one.error !== null),
  );
  return ended === undefined || ended.state === 'verified' ? null : ended;
}

export interface BackupDay {
  /** As the zone's calendar writes it: `2026-11-21`. */
  day: string;
  state: 'good' | 'failed' | 'none';
}

/** The last days with whether a backup of that day counts, oldest first. Days before the oldest known one are left out. */
export function daysOf(
  items: readonly BackupView[],
  { now, zone, days, complete }: { now: number; zone: string; days: number; complete: boolean },
): BackupDay[] {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone });
  const dayOf = (at: string | number): string => format.format(new Date(at));
  const states = new Map<string, BackupDay['state']>();
  for (const one of items) {
    const day = dayOf(one.takenAt ?? one.begunAt);
    if (one.state === 'verified') {
      states.set(day, 'good');
      // while the stack has what it holds, no other is needed
      for (let at = Date.parse(one.takenAt ?? one.begunAt); at < Date.parse(one.sameUntil ?? ''); at += DAY) {
        states.set(dayOf(at), 'good');
      }
      states.set(dayOf(one.sameUntil ?? one.takenAt ?? one.begunAt), 'good');
    } else if ((one.state === 'failed' || one.error !== null) && !gaveWay(one) && !states.has(day)) {
      states.set(day, 'failed');
    }
  }
  const oldest = items.at(-1);
  const from = oldest === undefined ? '' : dayOf(oldest.takenAt ?? oldest.begunAt);
  const all = Array.from({ length: days }, (_unused, back) => dayOf(now - (days - 1 - back) * DAY));
  // the change of the clocks may give a day twice
  return [...new Set(all)]
    .filter((day) => complete || day >= from)
    .map((day) => ({ day, state: states.get(day) ?? 'none' }));
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How old data is, as coarse as a person thinks of it: hours up to two days, then days. */
export function ageOf(ms: number): { unit: 'moment' | 'minute' | 'hour' | 'day'; count: number } {
  if (ms < MINUTE) {
    return { unit: 'moment', count: 0 };
  }
  const [unit, size] =
    ms < HOUR ? (['minute', MINUTE] as const) : ms < 2 * DAY ? (['hour', HOUR] as const) : (['day', DAY] as const);
  return { unit, count: Math.floor(ms / size) };
}

/** When the newest backup that counts was restored and checked. */
export interface Checked {
  at: string;
  /** Until when a look found since that nothing has changed, restoring nothing; null where none did. */
  unchangedUntil: string | null;
}

/** Null while none counts. */
export function checkedOf(
  backup: Pick<NonNullable<StackView['backup']>, 'verifiedAt' | 'sameUntil'> | null,
): Checked | null {
  if (backup === null || backup.verifiedAt === null) {
    return null;
  }
  const { verifiedAt: at, sameUntil } = backup;
  const since = sameUntil !== null && Date.parse(sameUntil) > Date.parse(at);
  return { at, unchangedUntil: since ? sameUntil : null };
}

/** Of a stack in a list: the tone in one word. */
export function standingOf(backup: StackView['backup']): 'none' | 'failed' | 'ok' {
  return backup?.failed === true ? 'failed' : (backup?.takenAt ?? null) === null ? 'none' : 'ok';
}
