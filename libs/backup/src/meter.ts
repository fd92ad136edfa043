import { createHash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import { DomainError } from '#libs/contracts';

const HEAD_BYTES = 16;

/** Passes bytes on and knows afterwards how many they were and their SHA-256. */
export class Meter extends Transform {
  private readonly hash = createHash('sha256');
  bytes = 0;
  /** The first bytes, as far as they came in one piece. */
  head: Buffer = Buffer.alloc(0);

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.count(chunk);
    callback(null, chunk);
  }

  /** For who passes the bytes on otherwise. */
  count(chunk: Buffer): void {
    if (this.bytes === 0) {
      this.head = Buffer.from(chunk.subarray(0, HEAD_BYTES));
    }
    this.bytes += chunk.length;
    this.hash.update(chunk);
  }

  /** In hex; to be asked once, after the end. */
  sha256(): string {
    return this.hash.digest('hex');
  }
}

/** Throws BACKUP_UNVERIFIED where what was read of a part is not what was stored. */
export function requireAsStored(part: { name: string; bytes: number; sha256: string }, read: Meter): void {
  if (read.bytes !== part.bytes || read.sha256() !== part.sha256) {
    throw new DomainError('BACKUP_UNVERIFIED', {
      message: `The backup does not come back whole: ${part.name} came back as ${read.bytes} bytes that are not the ${part.bytes} stored.`,
      details: { why: 'not_as_stored' },
    });
  }
}
