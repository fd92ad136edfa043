import { z } from 'zod';
import { slugSchema, uuidSchema } from './names.js';
import { MAX_API_TOKENS, tokenDigestSchema } from './runtime-access.js';
import { stackLimitsSchema } from './stacks.js';

/**
 * What the agent writes for a runtime (`/run/aviary/spec.json` in its secret volume). Public facts only; the
 * secrets lie beside it in files of their own. Keys are SPKI DER in base64.
 */
export const stackSpecSchema = z.object({
  version: z.literal(1),
  platform: uuidSchema,
  tenant: uuidSchema,
  slug: slugSchema,
  generation: z.int().min(1),
  /** Only in this generation may the runtime create its schema in an empty database; 0 once it did: never again. */
  provisioningGeneration: z.int().min(0),
  /** Whose database it may find and make its own, once; null for a stack that is no copy. */
  clonedFrom: uuidSchema.nullable().default(null),
  /** Since when nothing may be traded, until the portal allows it; null where it may. */
  tradingHeldSince: z.iso.datetime().nullable().default(null),
  /**
   * The upgrade, by its operation's id, that has brought it to volumes which are given up where it fails: until that is
   * over its bots are held from the start on. Null where there is none.
   */
  tradesAfter: uuidSchema.nullable().default(null),
  release: z.string(),
  /** The runtime's image: tells apart what runs also where releases have one version. Empty where nobody said. */
  image: z.string().default(''),
  dashboardUrl: z.url(),
  portalUrl: z.url(),
  limits: stackLimitsSchema,
  gatePublicKey: z.string(),
  database: z.object({ host: z.string(), port: z.int(), user: z.string(), database: z.string() }),
  redis: z.object({ host: z.string(), port: z.int() }),
});
export type StackSpec = z.infer<typeof stackSpecSchema>;

/** Files beside the spec. */
export const SPEC_FILES = {
  directory: '/run/aviary',
  spec: 'spec.json',
  databasePassword: 'database-password',
  redisPassword: 'redis-password',
  /** The stack's own Ed25519 key, PKCS8 PEM: signs its reports to the portal. */
  stackKey: 'stack-key.pem',
  /** PEM bundle of the authority that signs the portal's certificate; empty where a public one does. */
  portalCa: 'portal-ca.pem',
} as const;

/** GET /ready of a runtime: 200 with this body once it is migrated and wrote and read both stores; else 503. */
export const readySchema = z.object({
  ready: z.literal(true),
  tenant: uuidSchema,
  generation: z.int(),
  release: z.string(),
  postgres: z.literal('ok'),
  redis: z.literal('ok'),
  /** The upgrade for whose end its bots are held; a runtime of before that holds none. */
  tradesAfter: uuidSchema.nullable().default(null),
});
export type Ready = z.infer<typeof readySchema>;
/**
 * The 503 body: `code` is DATA_MISSING, which never mends itself, one of STORE_CODES, or UNAVAILABLE while the stack
 * starts. A runtime of before stores were told apart says UNAVAILABLE for them too.
 */
export const notReadySchema = z.object({ ready: z.literal(false), code: z.string(), message: z.string() });

/**
 * GET /activity of a runtime, for the platform alone: what would stop with it, at this moment. Authenticated by a
 * compact JWS (EdDSA, the stack's own key, of which the platform holds a sealed copy) in the Authorization header as
 * `Stack <jws>` with claims { iss: tenant id, aud: ACTIVITY_AUDIENCE, exp ≤ 60 s }.
 */
export const activitySchema = z.object({
  runningBots: z.int().min(0),
  openOrders: z.int().min(0),
  /** Its valid tokens, by which a program may wake it once it sleeps. A runtime of before they were told gives none. */
  tokens: z
    .array(z.object({ digest: tokenDigestSchema, expiresAt: z.iso.datetime() }))
    .max(MAX_API_TOKENS)
    .default([]),
});
export type Activity = z.infer<typeof activitySchema>;
export const ACTIVITY_AUDIENCE = 'aviary-activity';

/**
 * POST /hold of a runtime, for the platform alone: bots take back their open orders and place nothing new until the
 * hold is over; then they go on by themselves. Authenticated like /activity, with the audience HOLD_AUDIENCE and this
 * as the claim `hold`.
 * `restart`: before a planned stop. Bots that run are held; it ends by itself after `seconds`, or with the process.
 * `disk`: the stack's disk, or its host's, is nearly full. Nothing new is begun or stored by anybody, and orders of paused bots are
 * taken back too; it outlasts a restart and ends with a hold whose `percent` is null. Stop-loss and take-profit go on.
 * `upgrade`: that operation, which the spec names as `tradesAfter`, is over, and bots go on. It begins with the process
 * and is never asked for: until it ends no order is sent, for whatever reason, protective rules' and a person's neither.
 */
export const holdSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('restart'), seconds: z.int().min(1).max(900) }),
  z.strictObject({ kind: z.literal('disk'), percent: z.int().min(0).nullable() }),
  z.strictObject({ kind: z.literal('upgrade'), over: uuidSchema }),
]);
export type Hold = z.infer<typeof holdSchema>;
export const HOLD_AUDIENCE = 'aviary-hold';
/** How it stands when answered: bots held, and orders of bots the hold covers that are still open. */
export const holdAnswerSchema = z.object({ held: z.int().min(0), openOrders: z.int().min(0) });
export type HoldAnswer = z.infer<typeof holdAnswerSchema>;
