import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import { DomainError, isDomainError, type ErrorBody } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { isDatabaseAway } from '../database/database.js';
import { HTTP_STATUS } from './status-codes.js';

/** A bot's settings are a few hundred bytes; nothing here is larger. */
const MAX_BODY_BYTES = 64 * 1024;

export const SAFE_HEADERS: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=()',
};

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}

/** Turns anything thrown into the one shape of failed answers; what we did not foresee is logged under its errorId. */
export function sendError(response: ServerResponse, error: unknown, logger: Logger): void {
  if (isClientGone(response, error)) {
    logger.debug({ reason: error.message }, 'the client went away before its answer was complete');
    response.destroy();
    return;
  }
  const errorId = randomUUID();
  const known = isDomainError(error)
    ? error
    : new DomainError(isDatabaseAway(error) ? 'UNAVAILABLE' : 'INTERNAL', { cause: error });
  const status = HTTP_STATUS[known.code];
  if (status >= 500) {
    logger.error({ err: error, errorId, code: known.code }, 'request failed');
  }
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body: ErrorBody = { code: known.code, message: known.message, errorId, details: known.details };
  sendJson(response, status, body);
}

/** A closed tab or a cancelled download is nobody's fault; nobody is left to answer, either. */
function isClientGone(response: ServerResponse, error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return (
    ['ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_UNABLE_TO_PIPE', 'ECONNRESET', 'EPIPE'].includes(code) &&
    (response.destroyed || response.req.socket.destroyed)
  );
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new DomainError('BODY_TOO_LARGE', { details: { maxBytes: MAX_BODY_BYTES } });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The key of a request that may be repeated; null when it has none. The portal takes the same ones. */
export function idempotencyKey({ headers }: IncomingMessage): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) {
    return null;
  }
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw new DomainError('VALIDATION_FAILED', {
      message: 'Idempotency-Key: use 1 to 200 printable characters, such as a UUID.',
      details: { reason: 'idempotency_key' },
    });
  }
  return key;
}

/** The validated JSON body; an absent one counts as `{}`. */
export async function parseBody<S extends z.ZodType>(request: IncomingMessage, schema: S): Promise<z.infer<S>> {
  const text = await readBody(request);
  let value: unknown = {};
  if (text !== '') {
    if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
      throw new DomainError('VALIDATION_FAILED', {
        message: 'Send the body as application/json.',
        details: { reason: 'content_type' },
      });
    }
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new DomainError('MALFORMED_JSON', { cause });
    }
  }
  return validate(schema, value);
}

/** Query parameters; one given twice is refused, since nobody could say which counts. */
export function parseQuery<S extends z.ZodType>(url: URL, schema: S): z.infer<S> {
  const names = [...url.searchParams.keys()];
  if (new Set(names).size !== names.length) {
    throw new DomainError('VALIDATION_FAILED', {
      message: 'A query parameter is given twice.',
      details: { reason: 'query_given_twice' },
    });
  }
  return validate(schema, Object.fromEntries(url.searchParams));
}

export function validate<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const result = schema.safeParse(value);
  if (!result.success) {
    const fields = result.error.issues.map((issue) => ({
      field: issue.path.join('.'),
      message: issue.message,
      code: issue.code,
      params: boundsOf(issue),
    }));
    const first = fields[0];
    const words = first ? `${first.field === '' ? '' : `${first.field}: `}${first.message}` : undefined;
    throw new DomainError('VALIDATION_FAILED', { ...(words ? { message: words } : {}), details: { fields } });
  }
  return result.data;
}

/** Figures of a problem's words: `minimum` and `maximum` where there are such, and the `format` that was expected. */
function boundsOf(issue: z.core.$ZodIssue): Record<string, string> {
  const { minimum, maximum, format } = issue as { minimum?: unknown; maximum?: unknown; format?: unknown };
  const given = Object.entries({ minimum, maximum, format }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}
