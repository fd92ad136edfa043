import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { DomainError, isDomainError } from '#libs/contracts';
import type { EngineStreams } from '../stream-port.js';
import { frame, Frames, type Frame, type StreamWish } from './stream-frames.js';

/** Asked before a stream is begun; what it gives is waited for before its caller is told that it was. */
export type AdmitStream = (wish: StreamWish) => Promise<() => Promise<void>>;

const everybody: AdmitStream = () => Promise.resolve(() => Promise.resolve());

/**
 * Lends an engine's streams to other processes over a unix socket. What runs in a container outlives a caller that is
 * killed, as it does on a real engine: its input ends, and nobody reads what it writes.
 */
export class FakeStreamsServer {
  private readonly sockets = new Set<Socket>();
  /** What runs, by container. */
  private readonly running = new Map<string, Set<AbortController>>();

  private constructor(
    private readonly streams: EngineStreams,
    private readonly server: Server,
    private readonly admit: AdmitStream,
  ) {}

  static async listen(streams: EngineStreams, path: string, admit = everybody): Promise<FakeStreamsServer> {
    const server = createServer();
    const lent = new FakeStreamsServer(streams, server, admit);
    server.on('connection', (socket) => void lent.serve(socket));
    server.listen(path);
    await once(server, 'listening');
    return lent;
  }

  /** Breaks every connection in the middle of what it carries. */
  cut(): void {
    for (const socket of this.sockets) {
      socket.destroy();
    }
  }

  /** Nothing runs in that container any more: it was stopped, or is gone. */
  ended(container: string): void {
    for (const control of this.running.get(container) ?? []) {
      control.abort(new DomainError('ENGINE_UNREACHABLE', { message: `${container} stopped` }));
    }
  }

  async close(): Promise<void> {
    this.cut();
    for (const container of this.running.keys()) {
      this.ended(container);
    }
    this.server.close();
    await once(this.server, 'close');
  }

  private async serve(socket: Socket): Promise<void> {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    // A caller that was killed: what it began goes on, and finds nobody.
    socket.on('error', () => socket.destroy());
    const split = new Frames();
    socket.pipe(split);
    socket.once('close', () => split.end());
    const frames = split[Symbol.asyncIterator]() as AsyncIterableIterator<Frame>;
    const first = await frames.next();
    if (first.done === true) {
      return;
    }
    const wish = JSON.parse(first.value.body.toString()) as StreamWish;
    const control = new AbortController();
    const beside = this.running.get(wish.container) ?? new Set();
    this.running.set(wish.container, beside.add(control));
    const began = await this.admit(wish);
    try {
      const end = await this.carry({ wish, socket, frames, began, signal: control.signal });
      say(socket, frame('end', end));
    } catch (error) {
      await began();
      const { code, message, details } = isDomainError(error)
        ? error
        : new DomainError('INTERNAL', { message: String(error) });
      say(socket, frame('error', { code, message, details }));
    } finally {
      beside.delete(control);
      socket.end();
    }
  }

  private async carry({ wish, socket, frames, began, signal }: Carrying): Promise<unknown> {
    const { container, owner } = wish;
    if (wish.call === 'exec') {
      const { input, output, ended } = await this.streams.exec(container, owner, wish.wish, signal);
      // To the process an end is an end, however it came.
      void feed(frames, input, () => input.end());
      await began();
      say(socket, frame('begun'));
      const [end] = await Promise.all([ended, finished(output.pipe(sending(socket)))]);
      return end;
    }
    if (wish.call === 'pack') {
      const tar = await this.streams.pack(container, owner, wish.folder, signal);
      await began();
      say(socket, frame('begun'));
      await Promise.all([finished(tar), finished(tar.pipe(sending(socket)))]);
      return null;
    }
    await began();
    say(socket, frame('begun'));
    const tar = new PassThrough();
    tar.on('error', () => undefined);
    void feed(frames, tar, () => tar.destroy(new Error('the tar was cut off')));
    await this.streams.unpack(container, owner, { folder: wish.folder, tar }, signal);
    return null;
  }
}

interface Carrying {
  wish: StreamWish;
  socket: Socket;
  frames: AsyncIterableIterator<Frame>;
  began: () => Promise<void>;
  signal: AbortSignal;
}

function say(socket: Socket, bytes: Buffer): void {
  if (socket.writable) {
    socket.write(bytes);
  }
}

/** To the caller, at its pace; once that is gone nothing is taken any more, and whoever writes waits for ever. */
function sending(socket: Socket): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (socket.writable) {
        socket.write(frame('data', chunk), (error) => error ?? done());
      }
    },
  });
}

/** What the caller sends goes there until it says that this is the end; `cut` is told where it went away before. */
async function feed(frames: AsyncIterableIterator<Frame>, into: Writable, cut: () => void): Promise<void> {
  for await (const { kind, body } of frames) {
    if (kind === 'end') {
      into.end();
    } else if (into.writable && !into.write(body)) {
      // What its reader does not want is thrown away, so that the end of the call is still heard.
      await Promise.race([once(into, 'drain'), once(into, 'close')]).catch(() => undefined);
    }
  }
  if (into.writable) {
    cut();
  }
}
