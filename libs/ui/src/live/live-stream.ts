import { createSseParser, type ServerEvent } from './sse-parser.js';
import { reconnectDelayMs, STALE_AFTER_MS } from './liveness.js';

export interface LiveStreamOptions {
  url: string;
  /** Search of the address, asked before every connection: where a stream goes on depends on what was heard. */
  search?: () => Record<string, string>;
  /** Asked before every connection, so that a renewed token is used. */
  headers?: () => Promise<Record<string, string>> | Record<string, string>;
  onEvent: (event: ServerEvent) => void;
  /** The first connection is about to be tried. */
  onOpening?: () => void;
  /** Anything arrived, also a comment. */
  onHeard?: () => void;
  /** A connection after the first is open: what was missed in between must be read again. */
  onReconnect?: () => void;
  /** 204 (all was said), 403, 404 and 410 end the stream: asking again would change nothing. 401 may be mended by `headers`. */
  onRefused?: (status: number) => void;
  /** A connection was not had, or broke off; it is tried again by itself. */
  onFailed?: () => void;
  fetch?: typeof fetch;
  random?: () => number;
}

const FINAL = new Set([204, 403, 404, 410]);

/** Server-sent events through fetch, because EventSource can send no Authorization header. Ends only when stopped. */
export function openLiveStream(options: LiveStreamOptions): { stop: () => void; wake: () => void } {
  const stopped = new AbortController();
  let failures = 0;
  let connections = 0;
  let lastId: string | null = null;
  let wake: () => void = () => undefined;

  async function connect(): Promise<'again' | 'over'> {
    const connection = new AbortController();
    const abort = (): void => connection.abort();
    stopped.signal.addEventListener('abort', abort, { once: true });
    let quiet = setTimeout(abort, STALE_AFTER_MS);
    const heard = (): void => {
      clearTimeout(quiet);
      quiet = setTimeout(abort, STALE_AFTER_MS);
      options.onHeard?.();
    };
    try {
      const headers = { accept: 'text/event-stream', ...(await options.headers?.()) };
      const search = new URLSearchParams(options.search?.()).toString();
      const response = await (options.fetch ?? fetch)(search === '' ? options.url : `${options.url}?${search}`, {
        headers: lastId === null ? headers : { ...headers, 'last-event-id': lastId },
        credentials: 'same-origin',
        cache: 'no-store',
        signal: connection.signal,
      });
      if (!response.ok || response.body === null || response.status === 204) {
        if (FINAL.has(response.status)) {
          options.onRefused?.(response.status);
          return 'over';
        }
        failures += 1;
        options.onFailed?.();
        return 'again';
      }
      connections += 1;
      heard();
      if (connections > 1) {
        options.onReconnect?.();
      }
      await read(response.body, heard);
      // an orderly end is no failure, but must not become a tight loop
      failures = Math.max(failures, 1);
    } catch {
      // a broken or silent connection is what reconnecting is for; the dot in the header tells
      failures += 1;
      if (!stopped.signal.aborted) {
        options.onFailed?.();
      }
    } finally {
      clearTimeout(quiet);
      stopped.signal.removeEventListener('abort', abort);
    }
    return 'again';
  }

  async function read(body: ReadableStream<Uint8Array>, heard: () => void): Promise<void> {
    const parse = createSseParser((event) => {
      lastId = event.id ?? lastId;
      options.onEvent(event);
    });
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      failures = 0;
      heard();
      parse(decoder.decode(value, { stream: true }));
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function run(): Promise<void> {
    options.onOpening?.();
    while (!stopped.signal.aborted) {
      const next = await connect();
      if (next === 'over') {
        return;
      }
      if (!stopped.signal.aborted) {
        await pause(reconnectDelayMs(failures, (options.random ?? Math.random)()));
      }
    }
  }

  void run();
  return {
    stop: () => {
      stopped.abort();
      wake();
    },
    wake: () => wake(),
  };
}
