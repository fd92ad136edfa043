import { z } from 'zod';
import { ACCOUNT_STATES } from './auth.js';
import { STACK_STATUS, type StackStatus } from './status.js';

const count = z.int().min(0);

/** How many more there may be of how many, in the time the budget looks at. */
const left = z.object({ left: count, of: count });

/** What may still be ordered of an ACME authority, by our own count that stays below the authority's limits. */
export const acmeBudgetSchema = z.object({
  /** The platform's own certificates: in seven days as many may be issued, in half a day as many orders may fail. */
  certificates: z.array(
    z.object({
      name: z.string(),
      issued: left,
      failed: left,
      /** From when on the next order is possible; null when it is now. */
      nextAt: z.iso.datetime().nullable(),
    }),
  ),
  /** Of all orders in three hours, what customers' domains may take. */
  shared: left,
});
export type AcmeBudget = z.infer<typeof acmeBudgetSchema>;

/** What the agent that works on an engine says of itself every ten seconds, as it was at `at`. */
export const engineFiguresSchema = z.object({
  at: z.iso.datetime(),
  /** The newest look at the whole engine: when it ended, and how long it took; null before this agent's first. */
  pass: z.object({ at: z.iso.datetime(), seconds: z.number(), stacks: count }).nullable(),
  /** Since the whole engine was last looked at, or the stack looked at longest ago was, whichever is longer. */
  reconcileLagSeconds: z.number(),
  /** Stacks with a route file, and of how many the proxy serves all of it as written; null where it does not answer. */
  routes: z.object({ at: z.iso.datetime(), rendered: count, served: count.nullable() }).nullable(),
  /** Since this agent took over: what it mended by writing files again, and by a restart of the proxy. */
  proxyRepairs: z.object({ files: count, restarts: count }),
  /** From the writing of a route until the proxy served it, last time. */
  routeLagMs: z.number().nullable(),
  /** Null where no ACME authority is asked. */
  acme: acmeBudgetSchema.nullable(),
});
export type EngineFigures = z.infer<typeof engineFiguresSchema>;

export const engineStandingSchema = z.object({
  engine: z.string(),
  /** Last sign of life of the agent that works on it. */
  seenAt: z.iso.datetime(),
  /** Who holds the engine's lease, and from when on; `held` is false once it ran out. Null where nobody ever did. */
  lease: z
    .object({ owner: z.string(), takenAt: z.iso.datetime(), expiresAt: z.iso.datetime(), held: z.boolean() })
    .nullable(),
  /** Agents that would take over, as far as they were heard of lately. */
  standBy: z.array(z.object({ owner: z.string(), since: z.iso.datetime(), seenAt: z.iso.datetime() })),
  /** Null before an agent of this release worked on it. */
  figures: engineFiguresSchema.nullable(),
});
export type EngineStanding = z.infer<typeof engineStandingSchema>;

/** GET /api/v1/operator/overview: the fleet in figures, at one moment. States nobody is in are left out. */
export const fleetOverviewSchema = z.object({
  at: z.iso.datetime(),
  stacks: z.object({
    total: count,
    /** Running, stopped or asleep as their owners want. */
    asWanted: count,
    byStatus: z.partialRecord(z.enum(Object.keys(STACK_STATUS) as [StackStatus, ...StackStatus[]]), count),
  }),
  operations: z.object({
    queued: count,
    running: count,
    overdue: count,
    failedLastDay: count,
    doneLastDay: count,
    oldestQueuedSeconds: z.number().nullable(),
  }),
  users: z.object({ total: count, byState: z.partialRecord(z.enum(ACCOUNT_STATES), count) }),
  outbox: z.object({ queued: count, failed: count, kept: count, sentLastDay: count }),
  engines: z.array(engineStandingSchema),
});
export type FleetOverview = z.infer<typeof fleetOverviewSchema>;

/** A queue older than this means that nobody takes from it. */
const QUEUE_OLD_SECONDS = 30;
export function queueIsOld({ operations }: Pick<FleetOverview, 'operations'>): boolean {
  return (operations.oldestQueuedSeconds ?? 0) > QUEUE_OLD_SECONDS;
}

/** An agent gives a sign of life every ten seconds. */
const SILENT_SECONDS = 30;
/** Whether nothing is heard of an engine's agent at `at`. */
export const isSilent = (seenAt: Date, at: Date): boolean => at.getTime() - seenAt.getTime() > SILENT_SECONDS * 1_000;
/** A look is due every 270 s; pages call a state stale after ten minutes. */
const LAG_SECONDS = 600;

/** How long ago something of an engine was last looked at, where that is too long; else null, also where nobody said. */
export function lateSeconds({ seenAt, figures }: Pick<EngineStanding, 'seenAt' | 'figures'>): number | null {
  if (figures === null) {
    return null;
  }
  // Figures that a living agent does not write any more grow old with its signs of life; both are of its one clock.
  const age = Math.max(0, Date.parse(seenAt) - Date.parse(figures.at)) / 1_000;
  const lag = figures.reconcileLagSeconds + age;
  return lag > LAG_SECONDS ? lag : null;
}

/** What somebody has to see to on an engine, the worst first. While nobody is heard of it, nothing newer is known. */
export const ENGINE_TROUBLES = ['silent', 'noAgent', 'proxySilent', 'routesNotServed', 'lag', 'ordersSpent'] as const;
export type EngineTrouble = (typeof ENGINE_TROUBLES)[number];

export function engineTroubles(engine: EngineStanding, at: string): EngineTrouble[] {
  const { seenAt, lease, figures } = engine;
  if (isSilent(new Date(seenAt), new Date(at))) {
    return ['silent'];
  }
  const routes = figures?.routes ?? null;
  const found: Record<EngineTrouble, boolean> = {
    silent: false,
    noAgent: lease !== null && !lease.held,
    proxySilent: routes !== null && routes.served === null,
    routesNotServed: routes !== null && routes.served !== null && routes.served < routes.rendered,
    lag: lateSeconds(engine) !== null,
    ordersSpent: figures?.acme?.certificates.some(({ nextAt }) => nextAt !== null) ?? false,
  };
  return ENGINE_TROUBLES.filter((trouble) => found[trouble]);
}
