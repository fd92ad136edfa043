import { Transform, type TransformCallback } from 'node:stream';
import { callbackify } from 'node:util';

const HEADER_BYTES = 8;
const STDERR = 2;
const MOST_SAID = 4 * 1024;

/**
 * Standard output of a process out of the engine's frames `[stream, 0, 0, 0, length as 32-bit big endian]` + payload,
 * in chunks that end anywhere. dockerode's own splitter writes on whether or not the reader can take more; this one
 * stops asking the engine until it does, so that memory stays flat however large the output.
 */
export class ExecFrames extends Transform {
  private header: Buffer = Buffer.alloc(0);
  private left = 0;
  private stream = 0;
  private tail: Buffer = Buffer.alloc(0);

  /**
   * `process` resolves once the process is known to have ended: an engine that dies ends its connection as well, and
   * its reader must not take that for the end of the output. `told` makes of a break what the reader learns.
   */
  constructor(
    private readonly process: () => Promise<unknown> = () => Promise.resolve(),
    private readonly told: (error: Error) => Error = (error) => error,
  ) {
    super();
  }

  /** The end of what came on standard error. */
  get said(): string {
    return this.tail.toString('utf8').trim();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.left === 0) {
        const missing = HEADER_BYTES - this.header.length;
        this.header = Buffer.concat([this.header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (this.header.length < HEADER_BYTES) {
          break;
        }
        this.stream = this.header[0] ?? 1;
        this.left = this.header.readUInt32BE(4);
        this.header = Buffer.alloc(0);
        continue;
      }
      const payload = rest.subarray(0, this.left);
      this.left -= payload.length;
      rest = rest.subarray(payload.length);
      if (this.stream === STDERR) {
        this.tail = Buffer.concat([this.tail, payload]).subarray(-MOST_SAID);
      } else {
        this.push(payload);
      }
    }
    callback();
  }

  override _flush(callback: TransformCallback): void {
    callbackify(() => this.whole())((error: Error | null) => callback(error && this.told(error)));
  }

  private async whole(): Promise<void> {
    if (this.left > 0 || this.header.length > 0) {
      throw new Error('the engine broke off in the middle of a frame');
    }
    await this.process();
  }
}
