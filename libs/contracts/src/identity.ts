import { z } from 'zod';
import { domainNameSchema } from './domains.js';
import { slugSchema, uuidSchema } from './names.js';
import { tokenDigestSchema } from './runtime-access.js';

/** Headers that carry who is asking from the gate to a runtime. Copies from outside are stripped on every route. */
export const IDENTITY_HEADER = 'x-aviary-identity';
export const USER_HEADER = 'x-aviary-user';

/** The gate's cookie on a tenant host; the __Host- prefix makes it host-only and Secure. */
export const GATE_COOKIE = '__Host-aviary-session';
export const GATE_STATE_COOKIE = '__Host-aviary-state';
/** Everything below this path on a tenant host is answered by the gate, never by the tenant. */
export const GATE_PATH = '/.aviary';
/** The portal page that mints a sign-on code: `/sign-on?stack=<slug>&state=<hash>&next=<path>[&host=<domain>]`. */
export const SIGN_ON_PAGE = '/sign-on';

export const SESSION_TTL_SECONDS = 12 * 3600;
export const IDENTITY_TTL_SECONDS = 60;
export const SIGN_ON_CODE_TTL_SECONDS = 60;

/** Claims of the session token in the gate's cookie: EdDSA, issuer `aviary-portal`, audience the tenant's id. */
export const sessionClaimsSchema = z.object({
  iss: z.literal('aviary-portal'),
  aud: uuidSchema,
  sub: uuidSchema,
  sid: uuidSchema,
  slug: slugSchema,
  name: z.string(),
  role: z.enum(['owner', 'support']),
  /** The domain of the owner's own it was made for and is worth something at; absent: the stack's own host. */
  host: domainNameSchema.optional(),
  iat: z.int(),
  exp: z.int(),
});
export type SessionClaims = z.infer<typeof sessionClaimsSchema>;

/** Claims of the identity token: EdDSA by the gate's own key, issuer `aviary-gate`, audience the tenant's id, 60 s. */
export const identityClaimsSchema = sessionClaimsSchema.omit({ iss: true }).extend({ iss: z.literal('aviary-gate') });
export type IdentityClaims = z.infer<typeof identityClaimsSchema>;

/** POST /api/v1/sign-on by the signed-in person; `state` is base64url(sha256(nonce)) of the gate's state cookie. */
export const signOnRequestSchema = z.strictObject({
  stack: slugSchema,
  state: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  next: z
    .string()
    .max(1024)
    .regex(/^\/(?![/\\])[^\p{C}\\]*$/u)
    .default('/'),
  /** Where the way back leads: a verified domain of that stack; its own host where absent. */
  host: domainNameSchema.optional(),
});
export type SignOnRequest = z.infer<typeof signOnRequestSchema>;
export const signOnResponseSchema = z.object({ redirect: z.url() });

/** POST /internal/redeem, gate to api on its private port, once per code. */
export const redeemRequestSchema = z.strictObject({
  code: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  host: z.string().max(253),
  state: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export const redeemResponseSchema = z.object({ token: z.string(), next: z.string() });

/** GET /internal/revocations: session ids (portal sessions) whose sign-ons are no longer valid, newest 12 h. */
export const revocationsSchema = z.object({ revoked: z.array(z.object({ sid: uuidSchema, at: z.iso.datetime() })) });
export type Revocations = z.infer<typeof revocationsSchema>;

/** POST <tenant host>/.aviary/sessions by the runtime: which of these sessions of open streams are still valid. */
export const sessionCheckRequestSchema = z.strictObject({ sids: z.array(uuidSchema).max(100) });
export const sessionCheckResponseSchema = z.object({ revoked: z.array(uuidSchema) });

const ofStack = { tenant: uuidSchema, slug: slugSchema };
const wakeVisitSchema = z.strictObject({ ...ofStack, sid: uuidSchema });
const wakeTokenSchema = z.strictObject({ ...ofStack, digest: tokenDigestSchema });
export type WakeVisit = z.infer<typeof wakeVisitSchema>;
export type WakeToken = z.infer<typeof wakeTokenSchema>;
/**
 * POST /internal/wake, gate to api on its private port: before a stack that sleeps stands the owner of this session, or
 * a program whose token has this digest. Asked as often as somebody looks; one wake comes of it.
 */
export const wakeRequestSchema = z.union([wakeVisitSchema, wakeTokenSchema]);
export type WakeRequest = z.infer<typeof wakeRequestSchema>;
/**
 * `waking`: it will be there in seconds; `away`: it does not sleep, and the page that says so is on its way; `failed`:
 * it was to wake and did not, and nothing is under way; why, for its owner alone.
 */
export const wakeResponseSchema = z.object({
  state: z.enum(['waking', 'away', 'failed']),
  reason: z.string().nullable().optional(),
});
export type WakeResponse = z.infer<typeof wakeResponseSchema>;

/** POST /internal/starting, gate to api: somebody waits for a stack. `sid` only where the gate verified the owner's. */
export const startingRequestSchema = z.strictObject({
  tenant: uuidSchema,
  slug: slugSchema,
  sid: uuidSchema.nullable(),
});
export type StartingRequest = z.infer<typeof startingRequestSchema>;
/** `failed`: nothing is under way that would bring it back; why, for its owner alone. */
export const startingResponseSchema = z.object({
  state: z.enum(['starting', 'failed']),
  reason: z.string().nullable(),
});
export type StartingResponse = z.infer<typeof startingResponseSchema>;
