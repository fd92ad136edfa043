import type { StreamData, StreamEventType } from '#libs/contracts';
import type { QueryClient } from '@tanstack/react-query';
import { STALE_AFTER_MS, livenessOf, reconnectDelayMs, type Liveness } from '../domain/liveness.js';
import { HANDLERS } from './live.js';

const URL = '/api/v1/stream';
/** At most four value changes a second: more flickers and costs battery, and nobody reads faster. */
const FLUSH_MS = 250;

export interface LiveState {
  liveness: Liveness;
  /** When anything was last heard; what values are "as of" while stale. */
  heardAt: number | null;
}

interface Message {
  type: StreamEventType;
  data: unknown;
}

/** One event stream a tab. Messages are gathered and patched into the query cache a few times a second. */
export class LiveStream {
  private source: EventSource | null = null;
  private pending: Message[] = [];
  private flushTimer: ReturnType<typeof setTimeout> | null = null;
  private staleTimer: ReturnType<typeof setTimeout> | null = null;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private failures = 0;
  private everOpened = false;
  private startedAt = Date.now();
  private state: LiveState = { liveness: 'connecting', heardAt: null };
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly client: QueryClient,
    /** Tells a session that ended (then the page goes to sign in) from a stack that is away. */
    private readonly probe: () => Promise<unknown>,
  ) {}

  start(): void {
    this.startedAt = Date.now();
    this.open();
    this.watch();
    window.addEventListener('online', this.reopen);
    document.addEventListener('visibilitychange', this.onVisible);
  }

  stop(): void {
    window.removeEventListener('online', this.reopen);
    document.removeEventListener('visibilitychange', this.onVisible);
    for (const timer of [this.flushTimer, this.staleTimer, this.retryTimer]) {
      if (timer !== null) {
        clearTimeout(timer);
      }
    }
    this.flushTimer = this.staleTimer = this.retryTimer = null;
    this.source?.close();
    this.source = null;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  snapshot = (): LiveState => this.state;

  private readonly reopen = (): void => {
    this.failures = 0;
    this.open();
  };
  private readonly onVisible = (): void => {
    // a phone that slept kept a dead socket: look at once instead of waiting for the next heartbeat to be missed
    if (document.visibilityState === 'visible' && this.state.liveness === 'stale') {
      this.reopen();
    }
  };

  private open(): void {
    this.source?.close();
    if (this.retryTimer !== null) {
      clearTimeout(this.retryTimer);
      this.retryTimer = null;
    }
    const source = new EventSource(URL);
    this.source = source;
    source.addEventListener('open', () => {
      this.failures = 0;
      this.heard();
      if (this.everOpened) {
        // what happened meanwhile may be longer ago than the stream repeats
        this.client.invalidateQueries().catch(() => undefined);
      }
      this.everOpened = true;
    });
    source.addEventListener('error', () => {
      if (source === this.source) {
        this.fail();
      }
    });
    for (const type of Object.keys(HANDLERS) as StreamEventType[]) {
      source.addEventListener(type, (event) => {
        this.heard();
        this.pending.push({ type, data: JSON.parse(String((event as MessageEvent).data)) as unknown });
        this.flushTimer ??= setTimeout(this.flush, FLUSH_MS);
      });
    }
  }

  /** The browser's own retry gives up on an HTTP error, so attempts are ours alone. */
  private fail(): void {
    this.source?.close();
    this.source = null;
    this.failures += 1;
    this.retryTimer ??= setTimeout(() => {
      this.retryTimer = null;
      this.probe()
        .then(() => this.open())
        .catch(() => this.fail());
    }, reconnectDelayMs(this.failures, Math.random()));
    this.update();
  }

  private readonly flush = (): void => {
    this.flushTimer = null;
    const messages = this.pending;
    this.pending = [];
    for (const { type, data } of messages) {
      const handle = HANDLERS[type] as (client: QueryClient, data: StreamData<StreamEventType>) => void;
      handle(this.client, data as StreamData<StreamEventType>);
    }
  };

  private heard(): void {
    this.state = { ...this.state, heardAt: Date.now() };
    this.update();
    this.watch();
  }

  private watch(): void {
    if (this.staleTimer !== null) {
      clearTimeout(this.staleTimer);
    }
    this.staleTimer = setTimeout(() => {
      this.update();
      this.reopen();
      this.watch();
    }, STALE_AFTER_MS + 50);
  }

  private update(): void {
    const liveness = livenessOf({ heardAt: this.state.heardAt, startedAt: this.startedAt }, Date.now());
    const changed = liveness !== this.state.liveness || liveness === 'stale';
    this.state = { ...this.state, liveness };
    if (changed) {
      for (const listener of this.listeners) {
        listener();
      }
    }
  }
}
