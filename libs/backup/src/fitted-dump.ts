import { Transform, type TransformCallback } from 'node:stream';

/** More than pg_dump's last line takes. */
const HELD_BACK = 1_024;

/**
 * Makes a plain dump of one major version of PostgreSQL acceptable to the psql and the server of another: settings
 * that the server does not know are not set, and the word by which newer versions fence their text off is left out,
 * since older ones do not know it. Only what stands before the first statement is read, and the last line: nothing of
 * the data is. Without the fence a name in the database could be taken for a command of psql; whoever could give it
 * that name is the role that may run programs on the server by SQL already.
 */
export class FittedDump extends Transform {
  private inPreamble = true;
  private fence: string | null = null;
  private held: Buffer = Buffer.alloc(0);

  /** `settings`: names of those that the server knows. */
  constructor(private readonly settings: ReadonlySet<string>) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.held = Buffer.concat([this.held, chunk]);
    while (this.inPreamble) {
      const end = this.held.indexOf('\n');
      if (end < 0) {
        callback();
        return;
      }
      this.preamble(this.held.subarray(0, end + 1));
    }
    if (this.held.length > HELD_BACK) {
      this.pass(this.held.length - HELD_BACK);
    }
    callback();
  }

  override _flush(callback: TransformCallback): void {
    const end = this.fence === null ? -1 : this.held.lastIndexOf(`\\unrestrict ${this.fence}\n`);
    // Behind it nothing but an empty line is written.
    if (end >= 0 && this.held.subarray(end).toString('latin1').trim() === `\\unrestrict ${this.fence}`) {
      this.held = this.held.subarray(0, end);
    }
    this.pass(this.held.length);
    callback();
  }

  /** A line of the preamble, or the first that is none. */
  private preamble(line: Buffer): void {
    const text = line.toString('latin1').trimEnd();
    const [, fence] = /^\\restrict (\S+)$/.exec(text) ?? [];
    const [, setting] = /^SET (\w+) = [^;]*;$/.exec(text) ?? [];
    if (fence !== undefined) {
      this.fence = fence;
      this.held = this.held.subarray(line.length);
    } else if (setting !== undefined && !this.settings.has(setting)) {
      this.held = this.held.subarray(line.length);
    } else if (setting !== undefined || text === '' || /^(?:--|SELECT pg_catalog\.set_config\()/.test(text)) {
      this.pass(line.length);
    } else {
      this.inPreamble = false;
    }
  }

  private pass(bytes: number): void {
    this.push(this.held.subarray(0, bytes));
    this.held = this.held.subarray(bytes);
  }
}
