import { Transform, type TransformCallback } from 'node:stream';

/** Two blocks of zeros end every tar. */
const END_BYTES = 1024;

/**
 * Passes a tar on and fails where it ends before its end. An engine that fails in the middle of an archive has said
 * "200" already and can only stop; and a tar cut between two files reads like a shorter one.
 */
export class WholeTar extends Transform {
  private tail: Buffer = Buffer.alloc(0);

  /** `told` makes of that what its reader learns. */
  constructor(private readonly told: (error: Error) => Error = (error) => error) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.tail =
      chunk.length >= END_BYTES
        ? Buffer.from(chunk.subarray(-END_BYTES))
        : Buffer.concat([this.tail, chunk]).subarray(-END_BYTES);
    callback(null, chunk);
  }

  override _flush(callback: TransformCallback): void {
    const whole = this.tail.length === END_BYTES && this.tail.every((byte) => byte === 0);
    callback(whole ? null : this.told(new Error('the archive ends before its end')));
  }
}
