import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import {
  DomainError,
  STREAM_HEARTBEAT_SECONDS,
  type RuntimeErrorReason,
  type StreamData,
  type StreamEventType,
} from '#libs/contracts';

/** Who listens: `session` is the portal session of a person, `token` an API token and when it ends. */
export interface Listener {
  session: string | null;
  token: { id: string; expiresAt: Date } | null;
}

interface Stream extends Listener {
  response: ServerResponse;
  ends: NodeJS.Timeout;
}

const KEPT = 500;
/** A reader that falls this far behind is let go; it comes back and fetches anew. */
const MAX_BUFFERED_BYTES = 1_000_000;
const MAX_STREAMS = 50;
/** Of one session or token: a browser's tabs, so that one caller cannot take the places of all. */
const MAX_STREAMS_OF_CALLER = 12;
/** Streams end after an hour, or with their token, so that whoever listens proves again who they are. The browser reconnects by itself. */
const MAX_AGE_MS = 3_600_000;
export const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
} as const;
/** These are overtaken by the next of their kind, so a reconnect does not repeat them. */
const FLEETING: ReadonlySet<StreamEventType> = new Set(['heartbeat', 'reset', 'price', 'overview', 'bot']);

/** Live updates to browsers by server-sent events. */
export class LiveHub {
  private readonly streams = new Set<Stream>();
  private readonly kept: { number: number; message: string }[] = [];
  private readonly boot = randomBytes(6).toString('base64url');
  private number = 0;
  private readonly heartbeat: NodeJS.Timeout;

  constructor() {
    this.heartbeat = setInterval(
      () => this.publish('heartbeat', { at: new Date().toISOString() }),
      STREAM_HEARTBEAT_SECONDS * 1000,
    );
    this.heartbeat.unref();
  }

  get listeners(): number {
    return this.streams.size;
  }

  publish<T extends StreamEventType>(type: T, data: StreamData<T>): void {
    this.number += 1;
    if (this.streams.size === 0 && FLEETING.has(type)) {
      return;
    }
    const message = `id: ${this.boot}-${this.number}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
    if (!FLEETING.has(type)) {
      this.kept.push({ number: this.number, message });
      if (this.kept.length > KEPT) {
        this.kept.shift();
      }
    }
    for (const stream of this.streams) {
      this.write(stream, message);
    }
  }

  private write(stream: Stream, message: string): void {
    if (stream.response.writableLength > MAX_BUFFERED_BYTES) {
      this.end(stream);
      return;
    }
    stream.response.write(message);
  }

  /** Throws RATE_LIMITED when this caller, or the stack, has too many streams already. */
  open(response: ServerResponse, listener: Listener, lastEventId: string | undefined): void {
    this.checkRoom(listener);
    response.writeHead(200, STREAM_HEADERS);
    // Sent at once: proxies and browsers wait for the first bytes. retry is in milliseconds.
    response.write(': aviary\nretry: 2000\n\n');
    const { token } = listener;
    const age = token ? Math.min(MAX_AGE_MS, token.expiresAt.getTime() - Date.now()) : MAX_AGE_MS;
    const stream: Stream = { ...listener, response, ends: setTimeout(() => this.end(stream), age).unref() };
    this.streams.add(stream);
    response.on('close', () => this.drop(stream));
    this.repeat(stream, lastEventId);
  }

  private checkRoom({ session, token }: Listener): void {
    const own = [...this.streams].filter(
      (stream) => stream.session === session && stream.token?.id === token?.id,
    ).length;
    const full = (reason: RuntimeErrorReason, allowed: number): DomainError =>
      new DomainError('RATE_LIMITED', {
        message: 'Too many pages listen at once. Close some and try again.',
        details: { reason, allowed },
      });
    if (own >= MAX_STREAMS_OF_CALLER) {
      throw full('streams_of_caller', MAX_STREAMS_OF_CALLER);
    }
    if (this.streams.size >= MAX_STREAMS) {
      throw full('streams_of_stack', MAX_STREAMS);
    }
  }

  /** What was missed, when it is known without a gap; else word that everything is to be fetched anew. */
  private repeat(stream: Stream, lastEventId: string | undefined): void {
    if (lastEventId === undefined) {
      return;
    }
    const [boot, digits] = [lastEventId.slice(0, this.boot.length), lastEventId.slice(this.boot.length + 1)];
    const last = boot === this.boot && /^\d+$/.test(digits) ? Number(digits) : -1;
    const oldest = this.kept[0]?.number ?? this.number + 1;
    const complete = last >= 0 && last <= this.number && (this.kept.length < KEPT || last >= oldest - 1);
    if (complete) {
      this.kept.filter(({ number }) => number > last).forEach(({ message }) => this.write(stream, message));
    } else {
      const data = JSON.stringify({ at: new Date().toISOString() });
      this.write(stream, `id: ${this.boot}-${this.number}\nevent: reset\ndata: ${data}\n\n`);
    }
  }

  sessions(): string[] {
    return [...new Set([...this.streams].flatMap(({ session }) => (session === null ? [] : [session])))];
  }

  endSessions(revoked: readonly string[]): void {
    const gone = new Set(revoked);
    for (const stream of this.streams) {
      if (stream.session !== null && gone.has(stream.session)) {
        this.end(stream);
      }
    }
  }

  endToken(id: string): void {
    for (const stream of this.streams) {
      if (stream.token?.id === id) {
        this.end(stream);
      }
    }
  }

  private end(stream: Stream): void {
    this.drop(stream);
    stream.response.end();
  }

  private drop(stream: Stream): void {
    clearTimeout(stream.ends);
    this.streams.delete(stream);
  }

  close(): void {
    clearInterval(this.heartbeat);
    for (const stream of this.streams) {
      this.end(stream);
    }
  }
}
