import { once } from 'node:events';
import { Injectable } from '@nestjs/common';
import type { Response } from 'express';
import { hashToken } from '#libs/crypto';
import { SessionLookup } from './session-lookup.js';
import { errorBody } from './error.filter.js';
import { LiveStreams } from './live-streams.js';
import type { ApiRequest, SignedIn } from './request.js';
import { toDomainError } from './to-domain-error.js';

/** Proxies and browsers drop silent connections after 30 to 60 s; the pages show "reconnecting" after two misses. */
const HEARTBEAT_MS = 10_000;
/** What the browser waits before it connects again. */
const RETRY_MS = 1_000;

export interface EventSourceOf<T> {
  /** Name of the events. */
  event: string;
  /** Now and after each change; ends by itself after the last. */
  values: (signal: AbortSignal) => AsyncIterable<T>;
  isLast: (value: T) => boolean;
}

/**
 * Sends whole states as server-sent events (WHATWG HTML §9.2). Each event replaces those before it, so somebody who
 * comes back needs only the newest: its id is a digest of the state, and a Last-Event-ID that names it is not
 * answered twice. A stream whose final state was seen already gets 204, which ends the browser's reconnecting.
 */
@Injectable()
export class EventStreams {
  constructor(
    private readonly streams: LiveStreams,
    private readonly sessions: SessionLookup,
  ) {}

  async send<T>(
    exchange: { request: ApiRequest; response: Response },
    who: SignedIn,
    source: EventSourceOf<T>,
  ): Promise<void> {
    const { request, response } = exchange;
    const control = this.streams.enter(who.actor.accountId);
    const onClose = (): void => control.abort();
    response.on('close', onClose);
    const seen = request.headers['last-event-id'];
    const beat = setInterval(() => void this.beat(exchange, who, control), HEARTBEAT_MS);
    try {
      for await (const value of source.values(control.signal)) {
        const data = JSON.stringify(value);
        const id = hashToken(data).slice(0, 16);
        const last = source.isLast(value);
        if (!response.headersSent) {
          if (last && seen === id) {
            response.status(204).end();
            return;
          }
          begin(response);
        }
        if (id !== seen) {
          await write(response, `id: ${id}\nevent: ${source.event}\ndata: ${data}\n\n`, control.signal);
        }
        if (last) {
          break;
        }
      }
    } catch (error) {
      this.fail(exchange, error, control.signal);
    } finally {
      clearInterval(beat);
      response.off('close', onClose);
      this.streams.leave(control);
    }
    // Nothing sent: the process is stopping, or the person left before the first state.
    if (!response.headersSent) {
      response.status(204);
    }
    response.end();
  }

  /** An ended session or an expired token ends the stream; the page then refreshes its token and comes back. */
  private async beat(
    { request, response }: { request: ApiRequest; response: Response },
    who: SignedIn,
    control: AbortController,
  ): Promise<void> {
    try {
      if (!(await this.sessions.signedIn(who.token, request))) {
        control.abort();
        return;
      }
    } catch (error) {
      // The database is away: who was signed in a moment ago still is. The next beat looks again.
      request.log.debug({ err: error }, 'cannot check the session of a stream');
    }
    if (response.headersSent && !response.writableEnded) {
      response.write(': beat\n\n');
    }
  }

  private fail(
    { request, response }: { request: ApiRequest; response: Response },
    error: unknown,
    signal: AbortSignal,
  ): void {
    if (signal.aborted) {
      return;
    }
    if (!response.headersSent) {
      throw error;
    }
    const reason = toDomainError(error);
    request.log.warn({ err: error, errorId: request.id }, 'event stream failed');
    response.write(`event: error\ndata: ${JSON.stringify(errorBody(reason, request.id))}\n\n`);
  }
}

function begin(response: Response): void {
  response.status(200);
  response.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
  response.setHeader('Cache-Control', 'no-store, no-transform');
  response.setHeader('X-Accel-Buffering', 'no');
  response.flushHeaders();
  response.write(`retry: ${RETRY_MS}\n\n`);
}

async function write(response: Response, text: string, signal: AbortSignal): Promise<void> {
  if (!response.write(text) && !signal.aborted) {
    await once(response, 'drain', { signal });
  }
}
