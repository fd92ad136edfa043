import type { HoldReason } from '#libs/contracts';

/** A runtime reports each minute; a report that is missing may be one on its way, two are none. */
export const HEARTBEAT_TRUSTED_MS = 150_000;

export interface RestInput {
  heartbeat: { at: Date; runningBots: number; openOrders: number } | null;
  observed: string;
  now: Date;
}

/** Why a stack may not be put to sleep: something of it trades, or nobody can tell. Null where it may. */
export type RestProblem = 'bots_running' | 'orders_open' | 'no_report' | 'not_running';

/** What the portal knows by itself. The agent asks the stack once more before it stops anything. */
export function restProblem({ heartbeat, observed, now }: RestInput): RestProblem | null {
  if (observed !== 'running') {
    return 'not_running';
  }
  if (heartbeat === null || now.getTime() - heartbeat.at.getTime() > HEARTBEAT_TRUSTED_MS) {
    return 'no_report';
  }
  return heartbeat.runningBots > 0 ? 'bots_running' : heartbeat.openOrders > 0 ? 'orders_open' : null;
}

/** Holds that keep a stack from waking; the breaker is its own matter and told by its own page. */
export function mayWake(desired: string, holds: readonly HoldReason[]): boolean {
  return desired === 'hibernated' && holds.length === 0;
}
