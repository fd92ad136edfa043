import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { DomainError, ERROR_TEXT, type ErrorCode } from '#libs/contracts';
import { type Page, pageHeaders, renderPage } from './pages.js';

/** The status numbers of the few codes the gate itself answers with; anything else is a fault of ours. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  TOKEN_INVALID: 403,
  VALIDATION_FAILED: 400,
  MALFORMED_JSON: 400,
  BODY_TOO_LARGE: 413,
  UNAVAILABLE: 503,
};

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    ...headers,
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(JSON.stringify(body));
}

/** `{ code, message, errorId, details }`; gives the errorId back for the log. */
export function sendError(response: ServerResponse, error: unknown): string {
  const errorId = randomUUID();
  const known = error instanceof DomainError ? error : new DomainError('INTERNAL');
  const { code, message, details } = known;
  const again: unknown = details['retryAfterSeconds'];
  const body = { code, message: message || ERROR_TEXT[code], errorId, details };
  sendJson(response, STATUS[code] ?? 500, body, typeof again === 'number' ? { 'retry-after': String(again) } : {});
  return errorId;
}

export function sendPage(
  response: ServerResponse,
  page: Page,
  portalOrigin: string,
  cookies: readonly string[] = [],
): void {
  response.writeHead(page.status, {
    ...pageHeaders(portalOrigin),
    ...(page.status === 503 ? { 'retry-after': String(page.refreshSeconds ?? 10) } : {}),
    ...(cookies.length > 0 ? { 'set-cookie': [...cookies] } : {}),
  });
  response.end(renderPage(page));
}

export function redirect(
  response: ServerResponse,
  status: 302 | 303,
  location: string,
  cookies: readonly string[] = [],
): void {
  response.writeHead(status, {
    location,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    ...(cookies.length > 0 ? { 'set-cookie': [...cookies] } : {}),
  });
  response.end();
}
