import { z } from 'zod';
import { domainNameSchema } from './domains.js';
import { uuidSchema } from './names.js';

interface JobRule {
  payload: z.ZodType;
  /** Done by the agent of one engine, out of a queue of its own. */
  perEngine: boolean;
  /** Seconds before the first retry; each further one waits longer. */
  retryDelay: number;
  retryLimit: number;
  /** Somebody waits for it, so that a retry or a later turn is noticed within a second. */
  waitedFor?: true;
}

/**
 * A job is its name, its payload's schema and one handler. Retries wait `retryDelay` seconds at first and about twice
 * as long each time, 15 minutes at most.
 */
export const JOBS = {
  /** "Look at operation X"; the row is the truth. One queue per engine: the name gets `.<engine id>` appended. */
  'engine.operation': {
    payload: z.strictObject({ operationId: uuidSchema }),
    perEngine: true,
    retryLimit: 3,
    retryDelay: 1,
    waitedFor: true,
  },
  /** Tried for about three hours: outlasts grey-listing and a mail server's maintenance. */
  'mail.send': { payload: z.strictObject({ mailId: uuidSchema }), perEngine: false, retryLimit: 20, retryDelay: 5 },
  /** The stack's owner is to be told that it needs them; asked for once, by whoever found out. */
  'mail.stack': {
    payload: z.strictObject({ stackId: uuidSchema, portalUrl: z.url() }),
    perEngine: false,
    retryLimit: 20,
    retryDelay: 5,
  },
  /** The same of what is to be known although the stack goes on; `kind` is the warning's. */
  'mail.stack-warning': {
    payload: z.strictObject({ stackId: uuidSchema, kind: z.enum(['disk', 'memory', 'ended']), portalUrl: z.url() }),
    perEngine: false,
    retryLimit: 20,
    retryDelay: 5,
  },
  /** The owner of a domain is to be told that it leads elsewhere, or here again. */
  'mail.domain': {
    payload: z.strictObject({
      stackId: uuidSchema,
      domain: domainNameSchema,
      what: z.enum(['away', 'back']),
      portalUrl: z.url(),
    }),
    perEngine: false,
    retryLimit: 20,
    retryDelay: 5,
  },
  /** Operators are mailed what of the alarms is news to them. */
  'alarms.mail': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
  'audit.seal': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
  /** Ends operations that nobody ended. */
  'operations.expire': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
  /** Orders the backups that are due. */
  'backups.prune': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
  'backups.order': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
  /** Asks for the portal's own backup where it is due. */
  'portal-backup.order': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
  /** Looks how upgrades of rollouts ended and orders the next ones. */
  'rollouts.advance': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1, waitedFor: true },
  'sessions.clean': { payload: z.strictObject({}), perEngine: false, retryLimit: 3, retryDelay: 1 },
} as const satisfies Record<string, JobRule>;

export type JobName = keyof typeof JOBS;
export type JobPayload<N extends JobName> = z.infer<(typeof JOBS)[N]['payload']>;
