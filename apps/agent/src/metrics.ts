import type { CapacityItem } from '#libs/contracts';
import type { ProxyFigures } from './proxy-keeper.js';

export interface AgentFigures {
  /** Holds the lease of the engine. */
  active: boolean;
  proxy: ProxyFigures;
  /** From the writing of a route until the proxy served it; null before the first time. */
  routeLagMs: number | null;
  /** When the whole engine was last compared with what is wanted; null where this agent does not work. */
  passedAt: Date | null;
  /** The newest look at the whole engine that came to its end; null before the first. */
  pass: { at: Date; seconds: number; stacks: number } | null;
  /** What is taken of each of the engine's resources, as a part of what there is. */
  room: readonly CapacityItem[];
}
