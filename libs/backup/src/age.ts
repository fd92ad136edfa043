import { createCipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { ReadableStream } from 'node:stream/web';
import { Encrypter, Stanza, type ReadableStreamWithSize, type Recipient } from 'age-encryption';

const derive = promisify<string, Buffer, number, object, Buffer>(scrypt);

/** 128 MiB for each try, as OWASP's password storage cheat sheet asks of scrypt; any age opens up to 22. */
const LOG_N = 17;
const R = 8;
const LABEL = 'age-encryption.org/v1/scrypt';

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

/**
 * The recipient "scrypt" of age's format (C2SP age.md, "The scrypt recipient type"). Not the library's own, which
 * derives the key in JavaScript at once (1.9 s with its own factor): meanwhile this process would renew no lease.
 */
export function passphraseRecipient(passphrase: string, logN: number = LOG_N): Recipient {
  return {
    async wrapFileKey(fileKey) {
      const salt = randomBytes(16);
      const key = await derive(passphrase, Buffer.concat([Buffer.from(LABEL), salt]), 32, {
        N: 2 ** logN,
        r: R,
        p: 1,
        maxmem: 128 * 2 ** logN * R * 2,
      });
      // The key is used once, so the nonce may be zeros.
      const cipher = createCipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: 16 });
      const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
      return [new Stanza(['scrypt', unpadded(salt), String(logN)], body)];
    },
  };
}

/**
 * The stream as age's format has it, sealed in pieces of 64 KiB of which the last is marked: where the source fails, that
 * one never comes, so what was cut off opens with an error and not as less.
 */
export async function sealed(clear: ReadableStream<Uint8Array>, recipient: Recipient): Promise<ReadableStreamWithSize> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return encrypter.encrypt(clear);
}
