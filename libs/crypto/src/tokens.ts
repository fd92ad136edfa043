import { createHash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/** A 256-bit random token, base64url, 43 characters. */
export function randomToken(): string {
  return randomBytes(32).toString('base64url');
}

/** What is stored of a random token: base64url(sha256). Random tokens need no slow hash; passwords do. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

/** Constant-time comparison of two strings of any length. */
export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** `length` random base32 digits (RFC 4648, lower case). */
export function randomBase32(length: number): string {
  return Array.from(randomBytes(length), (byte) => BASE32[byte & 31]).join('');
}

/** A key of its own for each purpose (HKDF-SHA-256, RFC 5869); 32 bytes. */
export function deriveKey(secret: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `aviary/${purpose}`, 32));
}
