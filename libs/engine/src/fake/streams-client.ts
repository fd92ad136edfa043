import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { PassThrough, Writable, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DomainError, type ErrorCode, type ErrorDetails } from '#libs/contracts';
import { cancelled } from '../bounded.js';
import type { Owner } from '../port.js';
import type { EngineStreams, ExecEnd, ExecStreams, ExecWish, TarFilling } from '../stream-port.js';
import { frame, Frames, type Frame, type StreamWish } from './stream-frames.js';

/** Streams of an engine that another process holds (FakeStreamsServer): a connection for each. */
export class SocketStreams implements EngineStreams {
  constructor(private readonly path: string) {}

  async exec(container: string, owner: Owner, wish: ExecWish, signal: AbortSignal): Promise<ExecStreams> {
    const call = await Call.begin(this.path, { call: 'exec', container, owner, wish }, signal);
    const output = silent(new PassThrough());
    const input = silent(call.sending());
    const ended = call.carry(output) as Promise<ExecEnd>;
    // A process that ended reads no more.
    ended.then(
      () => input.destroy(),
      (error: Error) => input.destroy(error),
    );
    return { input, output, ended };
  }

  async pack(container: string, owner: Owner, folder: string, signal: AbortSignal): Promise<Readable> {
    const call = await Call.begin(this.path, { call: 'pack', container, owner, folder }, signal);
    const tar = silent(new PassThrough());
    call.carry(tar).catch(() => undefined); // The tar itself tells.
    return tar;
  }

  async unpack(container: string, owner: Owner, { folder, tar }: TarFilling, signal: AbortSignal): Promise<void> {
    const call = await Call.begin(this.path, { call: 'unpack', container, owner, folder }, signal);
    const done = call.carry(silent(new PassThrough()).resume());
    done.catch(() => tar.destroy());
    try {
      await Promise.all([done, pipeline(tar, call.sending())]);
    } catch (error) {
      if (signal.aborted) {
        throw cancelled(`fill ${folder} of ${container}`, signal);
      }
      // A tar that broke off by itself cuts the connection, and tells more than that does.
      throw tar.errored ?? error;
    }
  }
}

/** Whoever uses it is told by its end; nobody need listen besides. */
function silent<T extends PassThrough | Writable>(stream: T): T {
  stream.on('error', () => undefined);
  return stream;
}

/** One connection: frames both ways, until an end or an error came. */
class Call {
  private readonly split = silent(new Frames());
  private readonly frames = this.split[Symbol.asyncIterator]() as AsyncIterator<Frame>;
  private sink: Writable | undefined;
  private why: DomainError | undefined;

  private constructor(
    private readonly socket: Socket,
    private readonly what: string,
    signal: AbortSignal,
  ) {
    const abort = (): void => this.fail(cancelled(what, signal));
    signal.addEventListener('abort', abort, { once: true });
    socket.on('error', (error) => this.fail(this.lost(error.message)));
    socket.once('close', () => {
      signal.removeEventListener('abort', abort);
      if (!socket.readableEnded) {
        this.fail(this.lost('connection lost'));
      }
    });
    socket.pipe(this.split);
  }

  /** Once the other side has begun with it. */
  static async begin(path: string, wish: StreamWish, signal: AbortSignal): Promise<Call> {
    const what = `${wish.call} in ${wish.container}`;
    if (signal.aborted) {
      throw cancelled(what, signal);
    }
    const call = new Call(connect(path), what, signal);
    call.socket.write(frame('wish', wish));
    try {
      await call.next();
    } catch (error) {
      call.socket.destroy();
      throw error;
    }
    return call;
  }

  /** What is written goes to the other side, at its pace; ended by its writer, or cut where that breaks off. */
  sending(): Writable {
    const { socket } = this;
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => void socket.write(frame('data', chunk), done),
      final: (done) => void socket.write(frame('end'), done),
      destroy: (error, done) => {
        if (error) {
          socket.destroy();
        }
        done(error);
      },
    });
  }

  /** Hands on what comes until its end, and gives what that says. */
  carry(sink: Writable): Promise<unknown> {
    this.sink = sink;
    const carried = this.carrying(sink);
    carried.catch(() => undefined); // Told by the stream as well.
    return carried;
  }

  private async carrying(sink: Writable): Promise<unknown> {
    try {
      for (;;) {
        const { kind, body } = await this.next();
        if (kind === 'end') {
          sink.end();
          return JSON.parse(body.toString()) as unknown;
        }
        if (!sink.destroyed && !sink.write(body)) {
          await Promise.race([once(sink, 'drain'), once(sink, 'close')]).catch(() => undefined);
        }
      }
    } catch (error) {
      sink.destroy(error as Error);
      throw error;
    } finally {
      this.socket.destroy();
    }
  }

  private async next(): Promise<Frame> {
    let come: IteratorResult<Frame>;
    try {
      come = await this.frames.next();
    } catch (error) {
      throw this.why ?? error;
    }
    if (come.done === true) {
      throw this.why ?? this.lost('connection lost');
    }
    if (come.value.kind === 'error') {
      const { code, message, details } = JSON.parse(come.value.body.toString()) as {
        code: ErrorCode;
        message: string;
        details: ErrorDetails;
      };
      throw new DomainError(code, { message, details });
    }
    return come.value;
  }

  private fail(error: DomainError): void {
    this.why ??= error;
    this.split.destroy(this.why);
    this.sink?.destroy(this.why);
    this.socket.destroy();
  }

  private lost(reason: string): DomainError {
    return new DomainError('ENGINE_UNREACHABLE', { details: { what: this.what, reason } });
  }
}
