import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { ROLES, uuidSchema } from '#libs/contracts';
import { deriveKey, signingKeyFromSeed, signToken, verifyToken } from '#libs/crypto';
import { createPublicKey } from 'node:crypto';

const ISSUER = 'aviary-portal';
const AUDIENCE = 'aviary-api';
export const ACCESS_TTL_SECONDS = 600;

const claimsSchema = z.object({
  sub: uuidSchema,
  sid: uuidSchema,
  name: z.string(),
  role: z.enum(ROLES),
  exp: z.int(),
});
export type AccessClaims = z.infer<typeof claimsSchema>;

/**
 * Access tokens: EdDSA, 10 minutes, for the portal's API only. The key is derived from the sign-on seed and differs
 * from the one that signs sessions of tenants, so neither token can stand for the other.
 */
export class AccessTokens {
  private readonly key: KeyObject;
  private readonly publicKey: KeyObject;

  constructor(seedBase64: string) {
    this.key = signingKeyFromSeed(deriveKey(Buffer.from(seedBase64, 'base64'), 'access-token'));
    this.publicKey = createPublicKey(this.key);
  }

  issue(claims: Omit<AccessClaims, 'exp'>, now: Date): Promise<string> {
    return signToken(this.key, claims, { issuer: ISSUER, audience: AUDIENCE, ttlSeconds: ACCESS_TTL_SECONDS, now });
  }

  /** The claims, or null for anything that is not a valid token now. Says nothing about the session: see `signedIn`. */
  async verify(token: string, now: Date): Promise<AccessClaims | null> {
    const payload = await verifyToken(this.publicKey, token, { issuer: ISSUER, audience: AUDIENCE, now });
    const claims = claimsSchema.safeParse(payload);
    return claims.success ? claims.data : null;
  }
}
