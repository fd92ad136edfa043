import { createHash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';

const HEAD_BYTES = 16;

/** Passes bytes on and knows afterwards how many they were and their SHA-256. */
export class Meter extends Transform {
  private readonly hash = createHash('sha256');
  bytes = 0;
  /** The first bytes, as far as they came in one piece. */
  head: Buffer = Buffer.alloc(0);

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    if (this.bytes === 0) {
      this.head = Buffer.from(chunk.subarray(0, HEAD_BYTES));
    }
    this.bytes += chunk.length;
    this.hash.update(chunk);
    callback(null, chunk);
  }

  /** In hex; to be asked once, after the end. */
  sha256(): string {
    return this.hash.digest('hex');
  }
}
