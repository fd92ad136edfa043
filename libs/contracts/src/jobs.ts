import { z } from 'zod';
import { uuidSchema } from './names.js';

/** A job is its name, its payload's schema and one handler. `lane` keeps slow work of one kind from delaying another. */
export const JOBS = {
  /** "Look at operation X"; the row is the truth. One queue per engine: the name gets `.<engine id>` appended. */
  'engine.operation': { payload: z.strictObject({ operationId: uuidSchema }), perEngine: true, retryLimit: 3 },
  'mail.send': { payload: z.strictObject({ mailId: uuidSchema }), perEngine: false, retryLimit: 8 },
  'audit.seal': { payload: z.strictObject({}), perEngine: false, retryLimit: 3 },
  'sessions.clean': { payload: z.strictObject({}), perEngine: false, retryLimit: 3 },
} as const satisfies Record<string, { payload: z.ZodType; perEngine: boolean; retryLimit: number }>;

export type JobName = keyof typeof JOBS;
export type JobPayload<N extends JobName> = z.infer<(typeof JOBS)[N]['payload']>;
