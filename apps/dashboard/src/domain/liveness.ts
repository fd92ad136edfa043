/** How fresh what is on the screen is: the dot in the header, and whether values read "as of". */
export type Liveness = 'connecting' | 'live' | 'stale';

/** The stream sends a heartbeat every 10 s; one and a half of that without any is a connection gone quiet. */
export const STALE_AFTER_MS = 15_000;

export interface Pulse {
  /** When anything was last heard, or null before the first. */
  heardAt: number | null;
  startedAt: number;
}

export function livenessOf(pulse: Pulse, now: number): Liveness {
  if (pulse.heardAt === null) {
    return now - pulse.startedAt > STALE_AFTER_MS ? 'stale' : 'connecting';
  }
  return now - pulse.heardAt > STALE_AFTER_MS ? 'stale' : 'live';
}

/** Time until the next attempt after n failed ones: 1 s doubling to 30 s, with jitter so that tabs do not march in step. */
export function reconnectDelayMs(failures: number, random: number): number {
  const base = Math.min(30_000, 1000 * 2 ** Math.max(0, failures - 1));
  return Math.round(base * (0.75 + random * 0.5));
}
