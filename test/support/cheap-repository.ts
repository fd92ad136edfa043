import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from 'node:crypto';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Repository, type ResticSettings } from '#libs/restic';

interface Key {
  kdf: 'scrypt';
  N: number;
  r: number;
  p: number;
  salt: string;
  data: string;
}

const NONCE = 16;
const TAG = 16;
const CHEAP = { N: 2, r: 8, p: 1 };

/**
 * Copies of a repository that restic made, each with a password of its own.
 *
 * restic's keys are made so that opening a repository takes half a second of a processor, at each of its commands. That
 * is most of what tests of backups would take; copies are opened by the same restic with a key of the same kind that
 * costs nothing. Format of a key: https://restic.readthedocs.io/en/stable/100_references.html, "Keys, Encryption and MAC".
 */
export class CheapRepositories {
  private constructor(
    private readonly folder: string,
    private readonly key: { id: string; content: Key; master: Buffer },
  ) {}

  /** In a folder that is not there yet. */
  static async make(settings: ResticSettings, folder: string): Promise<CheapRepositories> {
    const password = randomBytes(16).toString('hex');
    await new Repository(settings, { url: folder, password }).ensure(AbortSignal.timeout(60_000));
    const [id = ''] = await readdir(join(folder, 'keys'));
    const content = JSON.parse(await readFile(join(folder, 'keys', id), 'utf8')) as Key;
    const { encryption } = userKey(content, password);
    const data = Buffer.from(content.data, 'base64');
    const cipher = createDecipheriv('aes-256-ctr', encryption, data.subarray(0, NONCE));
    const master = Buffer.concat([cipher.update(data.subarray(NONCE, -TAG)), cipher.final()]);
    return new CheapRepositories(folder, { id, content, master });
  }

  /** A repository of that password in a folder that is not there yet. */
  async copyTo(folder: string, password: string): Promise<void> {
    await cp(this.folder, folder, { recursive: true });
    const { id, content, master } = this.key;
    await rm(join(folder, 'keys', id));
    const cheap = { ...content, ...CHEAP, salt: randomBytes(64).toString('base64') };
    const { encryption, macK, macR } = userKey(cheap, password);
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-ctr', encryption, nonce);
    const sealed = Buffer.concat([cipher.update(master), cipher.final()]);
    const aes = createCipheriv('aes-128-ecb', macK, null).setAutoPadding(false);
    const tag = poly1305(macR, aes.update(nonce), sealed);
    const text = JSON.stringify({ ...cheap, data: Buffer.concat([nonce, sealed, tag]).toString('base64') });
    await writeFile(join(folder, 'keys', createHash('sha256').update(text).digest('hex')), text, { mode: 0o400 });
  }
}

function userKey({ N, r, p, salt }: Key, password: string): { encryption: Buffer; macK: Buffer; macR: Buffer } {
  const derived = scryptSync(password, Buffer.from(salt, 'base64'), 64, { N, r, p, maxmem: 256 * N * r + 2 ** 20 });
  return { encryption: derived.subarray(0, 32), macK: derived.subarray(32, 48), macR: derived.subarray(48, 64) };
}

const littleEndian = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);

/** RFC 8439, 2.5.1, with the second half of the key encrypted first, as Poly1305-AES has it. */
function poly1305(r: Buffer, s: Buffer, message: Buffer): Buffer {
  const prime = (1n << 130n) - 5n;
  const factor = littleEndian(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = Buffer.concat([message.subarray(at, at + 16), Buffer.from([1])]);
    sum = ((sum + littleEndian(block)) * factor) % prime;
  }
  const tag = (sum + littleEndian(s)) & ((1n << 128n) - 1n);
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}
