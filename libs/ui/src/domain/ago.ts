/** How a moment in the past is told: relative under an hour, as a clock time after that. */
export type Ago = { unit: 'now' } | { unit: 'second' | 'minute'; count: number } | { unit: 'clock' };

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A clock that runs a little ahead of ours must not read "in 2 seconds", so the future counts as now. */
export function ago(at: number, now: number): Ago {
  const passed = now - at;
  if (passed < 5 * SECOND) {
    return { unit: 'now' };
  }
  if (passed < MINUTE) {
    return { unit: 'second', count: Math.floor(passed / SECOND) };
  }
  return passed < HOUR ? { unit: 'minute', count: Math.floor(passed / MINUTE) } : { unit: 'clock' };
}

/** Milliseconds a figure of `ago` stays true: what a page waits before it looks again. */
export function agoChangesIn(at: number, now: number): number {
  const passed = now - at;
  return passed < MINUTE ? SECOND : passed < HOUR ? 15 * SECOND : HOUR;
}

/** `0.4 s`, `31 s`, `2:05`, `1:02:05`: short, in tabular figures, without words that need translation. */
export function formatDuration(ms: number): string {
  const positive = Math.max(0, ms);
  if (positive < 10_000) {
    return `${(Math.floor(positive / 100) / 10).toFixed(1)} s`;
  }
  const seconds = Math.floor(positive / SECOND);
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
