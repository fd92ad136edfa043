import type { RolloutWindow } from '#libs/contracts';

const DAY_MS = 86_400_000;

function ofDay(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return (hours * 60 + minutes) * 60_000;
}

/** Null while upgrades may begin; else when they may again. */
export function opensAt(window: RolloutWindow | null, now: Date): Date | null {
  if (window === null) {
    return null;
  }
  const [from, to] = [ofDay(window.from), ofDay(window.to)];
  const at = now.getTime() % DAY_MS;
  const open = from < to ? at >= from && at < to : at >= from || at < to;
  if (open) {
    return null;
  }
  return new Date(now.getTime() - at + from + (at < from ? 0 : DAY_MS));
}
