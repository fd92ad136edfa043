import bcrypt from 'bcrypt';
import { Semaphore } from '#libs/async';
import { randomToken } from '#libs/crypto';

/** bcrypt reads 72 bytes; a longer input must not pass as its own beginning. */
const MAX_BYTES = 72;
/**
 * Of libuv's four threads, which also look up names and read files: a crowd that signs in would keep them all for
 * seconds, and the portal's next connection to its database would run out of time.
 */
const AT_ONCE = 2;

export class Passwords {
  /** Of nobody's password, at the same cost: checking it makes an unknown user take as long as a wrong password. */
  private dummy: Promise<string> | undefined;
  private readonly threads = new Semaphore(AT_ONCE);

  /** Cost 12 takes about 280 ms on the machines this was measured on; tests use less. */
  constructor(private readonly cost = 12) {}

  /** Makes the hash of nobody's password ahead of the first sign-in, which would otherwise take twice as long. */
  warm(): Promise<string> {
    return (this.dummy ??= this.hash(randomToken()));
  }

  async hash(password: string): Promise<string> {
    if (Buffer.byteLength(password) > MAX_BYTES) {
      throw new Error('The password is longer than bcrypt reads');
    }
    return this.threads.run(() => bcrypt.hash(password, this.cost));
  }

  /** `hash` null means there is no such user; the answer is then false, after the same work. */
  async matches(password: string, hash: string | null): Promise<boolean> {
    const against = hash ?? (await this.warm());
    const same = await this.threads.run(() => bcrypt.compare(password, against));
    return same && hash !== null && Buffer.byteLength(password) <= MAX_BYTES;
  }
}
