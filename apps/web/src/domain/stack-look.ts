import { serviceNameSchema, USAGE_RANGES } from '#libs/contracts';
import { z } from 'zod';

/** How far back charts go; a word that is not one of ours is no filter, never an error page. */
export const rangeLook = z.object({ range: z.enum(USAGE_RANGES).optional().catch(undefined) });
export type RangeLook = z.infer<typeof rangeLook>;

/** What a stack's page shows of use and logs, as it stands in the address. */
export const stackLook = rangeLook.extend({
  service: serviceNameSchema.optional().catch(undefined),
  /** Words searched in the log. */
  q: z.string().max(200).optional().catch(undefined),
});
export type StackLook = z.infer<typeof stackLook>;

export interface Look {
  look: StackLook;
  /** Changes what is named and leaves the rest of the address. */
  onLook: (change: StackLook) => void;
}
