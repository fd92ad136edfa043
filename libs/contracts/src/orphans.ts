import { z } from 'zod';

/** An object on an engine whose labels name a stack that does not want it. */
export const orphanSchema = z.object({
  engine: z.string(),
  kind: z.enum(['container', 'network', 'volume']),
  name: z.string(),
  /** The stack its label names; there may be none of that id. */
  stackId: z.uuid(),
  /** `no_stack`: that stack is gone; `not_wanted`: that stack has no use for it. */
  why: z.enum(['no_stack', 'not_wanted']),
  firstSeenAt: z.iso.datetime(),
  lastSeenAt: z.iso.datetime(),
  /** From then on it is removed; null for what is kept. */
  removeAt: z.iso.datetime().nullable(),
});
export type Orphan = z.infer<typeof orphanSchema>;

/** GET /api/v1/operator/orphans: all there are, oldest first. More than a handful would be a fault in itself. */
export const orphanListSchema = z.object({ items: z.array(orphanSchema), next: z.null() });
export type OrphanList = z.infer<typeof orphanListSchema>;
