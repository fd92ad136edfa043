import { accessSchema, type Access, type Me } from '#libs/contracts';
import type { z } from 'zod';
import { ApiError, isApiError, PortalAwayError, toError } from './errors.js';

export type Session =
  /** Nobody asked yet. */
  | { phase: 'unknown' }
  | { phase: 'in'; me: Me }
  /** `ended`: there was a session and it is over, which the login page says. */
  | { phase: 'out'; ended: boolean };

export interface ClientDeps {
  fetch: typeof fetch;
  now: () => number;
  /**
   * Runs work while no other tab runs its own. The refresh token rotates and a second use of an old one ends the
   * session, so two tabs must never refresh at once.
   */
  exclusive: <T>(work: () => Promise<T>) => Promise<T>;
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  /** Makes a repeated press of one button one request. */
  idempotencyKey?: string;
  /** Sent without a token, and a 401 is an answer like any other. */
  anonymous?: boolean;
}

const BASE = '/api/v1';
/** A token is renewed this long before its end, so that no request meets an ended one on the way. */
const EARLY_MS = 30_000;

/** The portal's API. The access token lives in this object alone; the refresh token in a cookie no script can read. */
export class ApiClient {
  private session: Session = { phase: 'unknown' };
  private access: { token: string; until: number } | null = null;
  private refreshing: Promise<boolean> | null = null;
  private readonly listeners = new Set<() => void>();
  /** When any answer came, for the dot in the header. */
  private heard: number | null = null;
  /** By how many milliseconds the portal's clock is ahead of this machine's, as its newest answer told it. */
  private ahead = 0;

  constructor(private readonly deps: ClientDeps) {}

  readonly getSession = (): Session => this.session;
  readonly getHeardAt = (): number | null => this.heard;
  /** The present moment by the portal's clock, where it is `now` by this machine's. */
  readonly portalTime = (now: number): number => now + this.ahead;
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  noteHeard(): void {
    this.heard = this.deps.now();
  }

  private noteClock(date: string | null): void {
    const at = Date.parse(date ?? '');
    this.ahead = Number.isNaN(at) ? this.ahead : at - this.deps.now();
  }

  private tell(session: Session): void {
    this.session = session;
    this.listeners.forEach((listener) => listener());
  }

  signedIn(access: Access): void {
    this.access = { token: access.accessToken, until: this.deps.now() + access.expiresIn * 1000 };
    this.tell({ phase: 'in', me: access.me });
  }

  signedOut(ended = false): void {
    this.access = null;
    this.tell({ phase: 'out', ended });
  }

  /** Whether the cookie holds a session; another tab may have made one. Rejects when the portal does not answer. */
  async restore(): Promise<Session> {
    if (this.session.phase !== 'in') {
      await this.refresh();
    }
    return this.session;
  }

  /** A token good for a while; UNAUTHENTICATED when there is no session. */
  async token(): Promise<string> {
    if (this.session.phase === 'out') {
      throw signInFirst();
    }
    if (this.access === null || this.access.until - this.deps.now() < EARLY_MS) {
      await this.refresh();
    }
    if (this.access === null) {
      throw signInFirst();
    }
    return this.access.token;
  }

  /** True when there is a session now. Any number of callers share one request. */
  refresh(): Promise<boolean> {
    this.refreshing ??= this.deps
      .exclusive(() => this.renew())
      .finally(() => {
        this.refreshing = null;
      });
    return this.refreshing;
  }

  private async renew(): Promise<boolean> {
    const { session } = this;
    const had = session.phase === 'in' || (session.phase === 'out' && session.ended);
    try {
      const answer = await this.send('/auth/refresh', { method: 'POST', anonymous: true }, null);
      this.signedIn(accessSchema.parse(answer));
      return true;
    } catch (error) {
      if (
        isApiError(error, 'UNAUTHENTICATED', 'TOKEN_INVALID', 'TOKEN_EXPIRED', 'TOKEN_REUSED', 'ACCOUNT_NOT_ACTIVE')
      ) {
        this.signedOut(had);
        return false;
      }
      throw error; // away, or refused for another reason: that is no proof that the session is over
    }
  }

  async request<S extends z.ZodType>(schema: S, path: string, options?: RequestOptions): Promise<z.output<S>>;
  async request(schema: null, path: string, options?: RequestOptions): Promise<void>;
  async request(schema: z.ZodType | null, path: string, options: RequestOptions = {}): Promise<unknown> {
    const answer = await this.authorised(path, options);
    return schema === null ? undefined : schema.parse(answer);
  }

  private async authorised(path: string, options: RequestOptions): Promise<unknown> {
    if (options.anonymous) {
      return this.send(path, options, null);
    }
    const token = await this.token();
    try {
      return await this.send(path, options, token);
    } catch (error) {
      if (!isApiError(error, 'UNAUTHENTICATED')) {
        throw error;
      }
    }
    // the token ended early, such as by a restart with new keys: once more with a new one
    if (this.access?.token === token) {
      await this.refresh();
    }
    return this.send(path, options, await this.token());
  }

  private async send(path: string, options: RequestOptions, token: string | null): Promise<unknown> {
    const headers: Record<string, string> = { accept: 'application/json' };
    if (token !== null) {
      headers['authorization'] = `Bearer ${token}`;
    }
    if (options.body !== undefined) {
      headers['content-type'] = 'application/json';
    }
    if (options.idempotencyKey !== undefined) {
      headers['idempotency-key'] = options.idempotencyKey;
    }
    const response = await this.answer(path, {
      method: options.method ?? 'GET',
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      // a rotation that a reload cuts off would leave the old cookie behind
      keepalive: path === '/auth/refresh',
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const body = await readJson(response);
    if (!response.ok) {
      throw toError(response.status, body);
    }
    return body;
  }

  private async answer(path: string, init: RequestInit): Promise<Response> {
    try {
      const response = await this.deps.fetch(`${BASE}${path}`, init);
      this.noteHeard();
      this.noteClock(response.headers.get('date'));
      return response;
    } catch (cause) {
      if (init.signal?.aborted) {
        throw cause;
      }
      throw new PortalAwayError(cause);
    }
  }
}

function signInFirst(): ApiError {
  return new ApiError({ code: 'UNAUTHENTICATED', message: 'Sign in to do this.', errorId: null, details: {} });
}

async function readJson(response: Response): Promise<unknown> {
  if (response.status === 204) {
    return undefined;
  }
  const text = await response.text();
  if (text === '') {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (response.ok) {
      throw new PortalAwayError(cause); // a page of something in between, not our API
    }
    return undefined;
  }
}

/** Web Locks serialise tabs of one origin; where they are missing there is at least one request per tab at a time. */
export function browserExclusive<T>(work: () => Promise<T>): Promise<T> {
  return 'locks' in navigator ? navigator.locks.request('aviary-refresh', work) : work();
}
