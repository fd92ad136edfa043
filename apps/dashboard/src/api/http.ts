import { ERROR_TEXT, type ErrorBody, type ErrorCode } from '#libs/contracts';

const BASE = '/api/v1';

/** A failed answer as a page shows it: what is wrong, and the id that finds its log line. */
export class ApiError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly errorId: string | null,
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** The stack itself did not answer; says nothing about whether bots trade. */
export class UnreachableError extends Error {
  constructor(options: { cause?: unknown } = {}) {
    super('The stack does not answer.', options);
    this.name = 'UnreachableError';
  }
}

/** Where a person without a session is sent, and brought back to where they were going. */
export function signInPath(here: { pathname: string; search: string }): string {
  return `/.aviary/start?next=${encodeURIComponent(here.pathname + here.search)}`;
}

function isErrorBody(body: unknown): body is ErrorBody {
  return typeof body === 'object' && body !== null && 'code' in body && String(body.code) in ERROR_TEXT;
}

/** A failed answer as an error of ours; anything that is not our error body came from something in between. */
export function toError(status: number, body: unknown): Error {
  if (isErrorBody(body)) {
    return new ApiError(body.code, body.message, body.errorId, body.details);
  }
  return status === 404
    ? new ApiError('NOT_FOUND', ERROR_TEXT.NOT_FOUND, null)
    : new UnreachableError({ cause: `status ${status}` });
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  /** Makes a repeated press of the same button one request. */
  idempotencyKey?: string;
}

async function answer(path: string, options: RequestOptions): Promise<Response> {
  try {
    return await fetch(`${BASE}${path}`, {
      method: options.method ?? 'GET',
      headers: {
        accept: 'application/json',
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }),
      },
      credentials: 'same-origin',
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (cause) {
    if (options.signal?.aborted) {
      throw cause;
    }
    throw new UnreachableError({ cause });
  }
}

export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await answer(path, options);
  if (response.status === 401) {
    window.location.assign(signInPath(window.location));
    throw new ApiError('UNAUTHENTICATED', ERROR_TEXT.UNAUTHENTICATED, null);
  }
  if (response.status === 204) {
    return undefined as T;
  }
  const body: unknown = await response.json().catch((cause: unknown) => {
    if (response.ok) {
      throw new UnreachableError({ cause });
    }
    return null;
  });
  if (!response.ok) {
    throw toError(response.status, body);
  }
  return body as T;
}

/** `/bots?cursor=…` from the parts that are set. */
export function withQuery(path: string, query: Record<string, string | number | undefined | null>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') {
      search.set(key, String(value));
    }
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}
