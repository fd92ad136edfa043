import { z } from 'zod';
import { ACCOUNT_STATES } from './auth.js';
import { STACK_STATUS, type StackStatus } from './status.js';

const count = z.int().min(0);

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
});
export type FleetOverview = z.infer<typeof fleetOverviewSchema>;
