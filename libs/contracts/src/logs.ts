import { z } from 'zod';
import { serviceNameSchema } from './names.js';

export const LOG_TAIL_MOST = 5_000;

export const logLineSchema = z.object({
  /** RFC 3339 with nanoseconds; pass the newest one as `after` to go on behind it. */
  at: z.string(),
  stream: z.enum(['out', 'err']),
  text: z.string(),
});
export type StackLogLine = z.infer<typeof logLineSchema>;

/** GET /api/v1/stacks/:slug/logs */
export const stackLogSchema = z.object({
  service: serviceNameSchema,
  /** Oldest first. */
  items: z.array(logLineSchema),
  /** How many of the last lines were looked through. */
  searched: z.int(),
});
export type StackLog = z.infer<typeof stackLogSchema>;

/** An event of a followed log. `dropped` lines are missing before these: the reader was too slow for the writer. */
export const logBatchSchema = z.object({
  lines: z.array(logLineSchema),
  dropped: z.int().min(0),
  /** The process that wrote has ended, or there is none; what comes after is of its next run. */
  ended: z.boolean(),
});
export type LogBatch = z.infer<typeof logBatchSchema>;
