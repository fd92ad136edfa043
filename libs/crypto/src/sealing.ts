import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const VERSION = 1;
const NONCE = 12;
const TAG = 16;
const WRAPPED = NONCE + 32 + TAG;

function encrypt(key: Buffer, aad: Buffer, plain: Buffer): Buffer {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(aad);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, body, cipher.getAuthTag()]);
}

function decrypt(key: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const nonce = sealed.subarray(0, NONCE);
  const tag = sealed.subarray(sealed.length - TAG);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG }).setAAD(aad).setAuthTag(tag);
  return Buffer.concat([decipher.update(sealed.subarray(NONCE, sealed.length - TAG)), decipher.final()]);
}

/**
 * Envelope encryption (AES-256-GCM, NIST SP 800-38D): a fresh data key per record, itself encrypted under `key`.
 * `context` (such as `tenant/<id>/redis-password`) is authenticated, so a record cannot be moved to another place.
 * Layout: version (1 byte) · wrapped data key (60) · nonce (12) · ciphertext · tag (16).
 */
export function seal(key: Buffer, context: string, plain: Buffer | string): Buffer {
  const aad = Buffer.from(context);
  const dataKey = randomBytes(32);
  return Buffer.concat([
    Buffer.from([VERSION]),
    encrypt(key, aad, dataKey),
    encrypt(dataKey, aad, Buffer.isBuffer(plain) ? plain : Buffer.from(plain)),
  ]);
}

/** Throws a plain Error when the key, the context or a single bit is not the sealed one. */
export function open(key: Buffer, context: string, sealed: Buffer): Buffer {
  if (sealed.length < 1 + WRAPPED + NONCE + TAG || sealed[0] !== VERSION) {
    throw new Error(`Sealed record for ${context} has an unknown layout`);
  }
  const aad = Buffer.from(context);
  try {
    const dataKey = decrypt(key, aad, sealed.subarray(1, 1 + WRAPPED));
    return decrypt(dataKey, aad, sealed.subarray(1 + WRAPPED));
  } catch (cause) {
    throw new Error(`Sealed record for ${context} does not open with this key`, { cause });
  }
}
