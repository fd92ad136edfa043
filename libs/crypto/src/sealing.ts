import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Under the master key itself, by a key of its own in each record: how values were sealed before stacks had data keys. */
const UNDER_MASTER_KEY = 1;
const UNDER_DATA_KEY = 2;
const NONCE = 12;
const TAG = 16;
const KEY = 32;
const WRAPPED = NONCE + KEY + TAG;

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

function unsealed(version: number, context: string, sealed: Buffer, decrypted: (aad: Buffer) => Buffer): Buffer {
  const shortest = 1 + (version === UNDER_MASTER_KEY ? WRAPPED : 0) + NONCE + TAG;
  if (sealed.length < shortest || sealed[0] !== version) {
    throw new Error(`Sealed record for ${context} has an unknown layout`);
  }
  try {
    return decrypted(Buffer.from(context));
  } catch (cause) {
    throw new Error(`Sealed record for ${context} does not open with this key`, { cause });
  }
}

/**
 * AES-256-GCM (NIST SP 800-38D) under a data key. `context` (such as `tenant/<id>/redis-password`) is authenticated, so
 * a record cannot be moved to another place. Layout: version 2 (1 byte) · nonce (12) · ciphertext · tag (16).
 */
export function seal(dataKey: Buffer, context: string, plain: Buffer | string): Buffer {
  const body = Buffer.isBuffer(plain) ? plain : Buffer.from(plain);
  return Buffer.concat([Buffer.from([UNDER_DATA_KEY]), encrypt(dataKey, Buffer.from(context), body)]);
}

/** Throws a plain Error when the key, the context or a single bit is not the sealed one. */
export function open(dataKey: Buffer, context: string, sealed: Buffer): Buffer {
  return unsealed(UNDER_DATA_KEY, context, sealed, (aad) => decrypt(dataKey, aad, sealed.subarray(1)));
}

/** Whether the record was sealed under the master key itself. */
export function isUnderMasterKey(sealed: Buffer): boolean {
  return sealed[0] === UNDER_MASTER_KEY;
}

/** Layout: version 1 (1 byte) · the record's own key under the master key (60) · nonce (12) · ciphertext · tag (16). */
export function openUnderMasterKey(masterKey: Buffer, context: string, sealed: Buffer): Buffer {
  return unsealed(UNDER_MASTER_KEY, context, sealed, (aad) =>
    decrypt(decrypt(masterKey, aad, sealed.subarray(1, 1 + WRAPPED)), aad, sealed.subarray(1 + WRAPPED)),
  );
}

export function newDataKey(): Buffer {
  return randomBytes(KEY);
}

/** A data key under `key`: nonce (12) · ciphertext (32) · tag (16). */
export function wrapKey(key: Buffer, context: string, dataKey: Buffer): Buffer {
  return encrypt(key, Buffer.from(context), dataKey);
}

/** Throws a plain Error when the key, the context or a single bit is not the one it was wrapped with. */
export function unwrapKey(key: Buffer, context: string, wrapped: Buffer): Buffer {
  if (wrapped.length !== WRAPPED) {
    throw new Error(`The wrapped key for ${context} has an unknown layout`);
  }
  try {
    return decrypt(key, Buffer.from(context), wrapped);
  } catch (cause) {
    throw new Error(`The wrapped key for ${context} does not open with this key`, { cause });
  }
}
