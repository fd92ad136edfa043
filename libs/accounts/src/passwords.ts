import bcrypt from 'bcrypt';
import { randomToken } from '#libs/crypto';

/** bcrypt reads 72 bytes; a longer input must not pass as its own beginning. */
const MAX_BYTES = 72;

export class Passwords {
  /** Of nobody's password, at the same cost: checking it makes an unknown user take as long as a wrong password. */
  private dummy: Promise<string> | undefined;

  /** Cost 12 takes about 280 ms on the machines this was measured on; tests use less. */
  constructor(private readonly cost = 12) {}

  /** Makes the hash of nobody's password ahead of the first sign-in, which would otherwise take twice as long. */
  warm(): Promise<string> {
    return (this.dummy ??= bcrypt.hash(randomToken(), this.cost));
  }

  async hash(password: string): Promise<string> {
    if (Buffer.byteLength(password) > MAX_BYTES) {
      throw new Error('The password is longer than bcrypt reads');
    }
    return bcrypt.hash(password, this.cost);
  }

  /** `hash` null means there is no such user; the answer is then false, after the same work. */
  async matches(password: string, hash: string | null): Promise<boolean> {
    const same = await bcrypt.compare(password, hash ?? (await this.warm()));
    return same && hash !== null && Buffer.byteLength(password) <= MAX_BYTES;
  }
}
