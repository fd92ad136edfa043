import { DomainError } from '#libs/contracts';
import { openUnderMasterKey, unwrapKey, wrapKey } from './sealing.js';
import { deriveKey } from './tokens.js';

const LENGTH = 32;

/** The key under which data keys are. Nothing of it can be printed, logged or turned into JSON but its id. */
export class MasterKey {
  readonly #bytes: Buffer;
  /** 16 hex digits that name the key and tell nothing of it (HKDF-SHA-256). */
  readonly id: string;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.id = deriveKey(bytes, 'master-key-id').toString('hex').slice(0, 16);
  }

  /** Of 32 bytes in base64. Throws CONFIG_INVALID, naming where the text is from and not the text. */
  static parse(text: string, from: string): MasterKey {
    const digits = text.trim();
    const bytes = Buffer.from(digits, 'base64');
    if (!/^[\w+/-]{43}=?$/.test(digits) || bytes.length !== LENGTH) {
      throw new DomainError('CONFIG_INVALID', { message: `${from} must give 32 bytes in base64.` });
    }
    return new MasterKey(bytes);
  }

  /** `owner` and this key's id are authenticated: a data key cannot be taken for another's. */
  wrap(owner: string, dataKey: Buffer): Buffer {
    return wrapKey(this.#wrapping(), this.#context(owner), dataKey);
  }

  unwrap(owner: string, wrapped: Buffer): Buffer {
    return unwrapKey(this.#wrapping(), this.#context(owner), wrapped);
  }

  /** What was sealed under the master key itself, before there were data keys. */
  openRecord(context: string, sealed: Buffer): Buffer {
    return openUnderMasterKey(this.#bytes, context, sealed);
  }

  /** Of the repository with the portal's own backups: whoever has the master key has it, and needs nothing else. */
  repositoryPassword(): string {
    return deriveKey(this.#bytes, 'portal-repository').toString('base64url');
  }

  /** Another than the one records were sealed under, so that neither use says anything of the other. */
  #wrapping(): Buffer {
    return deriveKey(this.#bytes, 'data-keys');
  }

  #context(owner: string): string {
    return `data-key/${owner}/${this.id}`;
  }
}
