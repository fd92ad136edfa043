import type { ProxyFigures } from './proxy-keeper.js';

export interface AgentFigures {
  /** Holds the lease of the engine. */
  active: boolean;
  proxy: ProxyFigures;
  /** From the writing of a route until the proxy served it; null before the first time. */
  routeLagMs: number | null;
}
