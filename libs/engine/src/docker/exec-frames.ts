import { Transform, type TransformCallback } from 'node:stream';
import { callbackify } from 'node:util';

const HEADER_BYTES = 8;
const STDERR = 2;
const MOST_SAID = 4 * 1024;
const NONE = Buffer.alloc(0);

/**
 * Standard output of a process out of the engine's frames `[stream, 0, 0, 0, length as 32-bit big endian]` + payload,
 * in chunks that end anywhere. dockerode's own splitter writes on whether or not the reader can take more; this one
 * stops asking the engine until it does, so that memory stays flat however large the output.
 */
export class ExecFrames extends Transform {
  private header: Buffer = NONE;
  private left = 0;
  private stream = 0;
  private tail: Buffer = NONE;

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
    // What is output moves together in the chunk itself: a reader has to be given it in one piece, not one for each frame.
    let gathered = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.left === 0) {
        at += this.takeHeader(chunk, at);
        continue;
      }
      const end = Math.min(at + this.left, chunk.length);
      this.left -= end - at;
      if (this.stream === STDERR) {
        this.tail = Buffer.concat([this.tail, chunk.subarray(at, end)]).subarray(-MOST_SAID);
      } else {
        chunk.copyWithin(gathered, at, end);
        gathered += end - at;
      }
      at = end;
    }
    if (gathered > 0) {
      this.push(chunk.subarray(0, gathered));
    }
    callback();
  }

  /** Gives how many bytes of the chunk it took, from `at` on. */
  private takeHeader(chunk: Buffer, at: number): number {
    const part = chunk.subarray(at, at + HEADER_BYTES - this.header.length);
    const header = this.header.length === 0 ? part : Buffer.concat([this.header, part]);
    if (header.length < HEADER_BYTES) {
      // A copy: where it lies, output is put next.
      this.header = Buffer.from(header);
    } else {
      this.stream = header[0] ?? 1;
      this.left = header.readUInt32BE(4);
      this.header = NONE;
    }
    return part.length;
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
