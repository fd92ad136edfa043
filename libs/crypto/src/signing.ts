import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT, jwtVerify, type JWTPayload } from 'jose';

/** PKCS8 header of an Ed25519 private key (RFC 8410); the 32-byte seed follows it. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

export function signingKeyFromSeed(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' });
}

export function newSigningKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

/** SPKI DER in base64: how public keys travel in settings, specs and rows. */
export function publicKeyText(key: KeyObject): string {
  const publicKey = key.type === 'public' ? key : createPublicKey(key);
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
}

export function publicKeyFromText(text: string): KeyObject {
  return createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
}

export interface TokenOptions {
  issuer: string;
  audience: string;
  ttlSeconds: number;
  now?: Date;
}

/** A compact EdDSA JWS (RFC 7519, RFC 8037). */
export async function signToken(key: KeyObject, claims: JWTPayload, options: TokenOptions): Promise<string> {
  const issuedAt = Math.floor((options.now ?? new Date()).getTime() / 1000);
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuer(options.issuer)
    .setAudience(options.audience)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + options.ttlSeconds)
    .sign(key);
}

/** The claims of a valid token, or null for anything else: wrong key, algorithm, issuer, audience, expired, garbage. */
export async function verifyToken(
  key: KeyObject,
  token: string,
  expected: { issuer: string; audience?: string; now?: Date; leewaySeconds?: number },
): Promise<JWTPayload | null> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['EdDSA'],
      issuer: expected.issuer,
      clockTolerance: expected.leewaySeconds ?? 0,
      requiredClaims: ['exp', 'iat'],
      ...(expected.audience === undefined ? {} : { audience: expected.audience }),
      ...(expected.now ? { currentDate: expected.now } : {}),
    });
    return payload;
  } catch {
    // Why a token is refused is of no use to its bearer, and every reason means the same: not signed in.
    return null;
  }
}
