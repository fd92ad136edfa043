import { Writable, type Duplex } from 'node:stream';

/**
 * Standard input of a process over the connection that also carries its output. Given to a writer itself, the connection
 * counts as well ended once the engine ends it, and whoever had more to write then waits for ever.
 */
export class ExecInput extends Writable {
  constructor(private readonly connection: Duplex) {
    super();
    connection.once('close', () => {
      if (!this.writableFinished) {
        this.destroy(new Error('the process reads no more'));
      }
    });
    // Told to whoever writes; without a writer it is nobody's to handle here.
    this.on('error', () => undefined);
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.connection.write(chunk, encoding, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.connection.end(callback);
  }

  /** A writer that breaks off must not look like one that came to its end. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.writableFinished) {
      this.connection.destroy();
    }
    callback(error);
  }
}
