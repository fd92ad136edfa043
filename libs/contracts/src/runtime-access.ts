import { z } from 'zod';
import { uuidSchema } from './names.js';

/** A program's token; a random one, so that its plain SHA-256 is as good as a secret hash of it. */
export const API_TOKEN_PATTERN = /^avt_[A-Za-z0-9_-]{43}$/;
/** At one time, of those that are neither revoked nor expired. */
export const MAX_API_TOKENS = 20;
/** What is kept of a token: base64url(sha256) of the whole of it. */
export const tokenDigestSchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** POST /tokens; the token itself is in this answer only. */
export const createTokenSchema = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1)
    .max(60)
    .regex(/^[^\p{C}<>]*$/u, 'Use printable characters, without < and >.'),
  scope: z.enum(['read', 'trade']).default('read'),
  expiresInDays: z.int().min(1).max(365).default(90),
});
export type CreateToken = z.infer<typeof createTokenSchema>;
export const tokenViewSchema = z.object({
  id: uuidSchema,
  name: z.string(),
  scope: z.enum(['read', 'trade']),
  /** First characters, to recognise it by. */
  hint: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  lastUsedAt: z.iso.datetime().nullable(),
  revokedAt: z.iso.datetime().nullable(),
});
export type TokenView = z.infer<typeof tokenViewSchema>;
export const tokenListSchema = z.object({ items: z.array(tokenViewSchema) });
export const tokenCreatedSchema = z.object({ token: z.string(), view: tokenViewSchema });
export type TokenCreated = z.infer<typeof tokenCreatedSchema>;

/** GET /me */
export const runtimeMeSchema = z.object({
  kind: z.enum(['person', 'token']),
  name: z.string(),
  role: z.enum(['owner', 'support', 'token']),
  /** Support staff and read tokens may look, not touch. */
  mayTrade: z.boolean(),
  slug: z.string(),
  release: z.string(),
  portalUrl: z.string(),
  mode: z.literal('paper'),
  limits: z.object({ bots: z.int() }),
});
export type RuntimeMe = z.infer<typeof runtimeMeSchema>;
