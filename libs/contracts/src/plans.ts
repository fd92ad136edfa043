import { z } from 'zod';
import { stackLimitsSchema } from './stacks.js';

/** GET /api/v1/operator/plans: what a stack can be given the limits of, cheapest first. */
export const planListSchema = z.object({
  items: z.array(
    z.object({
      code: z.string(),
      name: z.string(),
      /** How many stacks an account of this plan may have. */
      stacks: z.int(),
      /** Limits of each of them. */
      limits: stackLimitsSchema,
      backups: z.object({
        /** Of so many days, weeks and months that have a good backup the newest of each stays. */
        daily: z.int(),
        weekly: z.int(),
        monthly: z.int(),
        /** How old the newest that counts may be of a stack that runs; older ones are an alarm. */
        maxAgeHours: z.int(),
      }),
    }),
  ),
  next: z.null(),
});
export type PlanList = z.infer<typeof planListSchema>;
export type PlanSummary = PlanList['items'][number];
