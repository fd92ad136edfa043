/** Servers send something every 10 s; one and a half of that without any is a connection gone quiet. */
export const STALE_AFTER_MS = 15_000;

export type Liveness = 'connecting' | 'live' | 'stale' | 'offline';

export interface Pulse {
  /** When anything was last heard; null before the first. */
  heardAt: number | null;
  startedAt: number;
  online: boolean;
}

export function livenessOf(pulse: Pulse, now: number): Liveness {
  if (!pulse.online) {
    return 'offline';
  }
  const since = pulse.heardAt ?? pulse.startedAt;
  if (now - since > STALE_AFTER_MS) {
    return 'stale';
  }
  return pulse.heardAt === null ? 'connecting' : 'live';
}

/** 1 s doubling to 30 s, with a quarter of jitter so that all tabs of a restarted server do not return in step. */
export function reconnectDelayMs(failures: number, random: number): number {
  const base = Math.min(30_000, 1000 * 2 ** Math.max(0, failures - 1));
  return Math.round(base * (0.75 + random * 0.5));
}
