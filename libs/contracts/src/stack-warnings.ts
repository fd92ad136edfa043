import { z } from 'zod';

/** What a stack that goes on must be told of. Its `params` are the figures of the message, by the names given here. */
export const STACK_WARNINGS = {
  /** From 90 % of the plan's disk on, until it is below 85 %. */
  DISK_NEARLY_FULL: ['percent', 'used', 'limit'],
  /** From 95 % on, until it is below 90 %: its bots are held and it takes nothing new. */
  DISK_FULL: ['percent', 'used', 'limit'],
  /** The disk of its host, of which `percent` is taken: the stack is held too, whatever its own plan has left. In GiB. */
  HOST_DISK_FULL: ['percent', 'free', 'floor'],
  /** There is room again, and the stack has not been told yet: it does not run. */
  DISK_FREED: ['percent', 'used', 'limit'],
  /** Of one service: it reaches its limit in `hours` at this pace. */
  MEMORY_GROWS: ['service', 'megabytes', 'hours'],
  /** Until a day after the newest; the stack went on each time. `times` since then, `log`: the last lines before it. */
  SERVICE_OUT_OF_MEMORY: ['service', 'times', 'log'],
  SERVICE_ENDED: ['service', 'exitCode', 'times', 'log'],
} as const satisfies Record<string, readonly string[]>;
export type StackWarningCode = keyof typeof STACK_WARNINGS;
export const STACK_WARNING_CODES = Object.keys(STACK_WARNINGS) as [StackWarningCode, ...StackWarningCode[]];

export const stackWarningSchema = z.object({
  code: z.enum(STACK_WARNING_CODES),
  level: z.enum(['warn', 'bad']),
  /** What is so and what to do. */
  message: z.string(),
  params: z.record(z.string(), z.union([z.string(), z.number()])),
  since: z.iso.datetime(),
  /** When it was last found to be so. */
  seenAt: z.iso.datetime(),
  /** Since when the stack's own runtime says that it holds its bots for it; null while it does not. */
  heldSince: z.iso.datetime().nullable(),
});
export type StackWarning = z.infer<typeof stackWarningSchema>;
