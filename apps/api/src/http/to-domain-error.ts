import { HttpException } from '@nestjs/common';
import { DomainError, type ErrorCode } from '#libs/contracts';
import { isDatabaseAway } from '#libs/db';

/** Errors of body-parser (http-errors with a `type`) that the sender caused. */
const BODY_ERRORS: Readonly<Record<string, { code: ErrorCode; message?: string }>> = {
  'entity.parse.failed': { code: 'MALFORMED_JSON' },
  'entity.too.large': { code: 'BODY_TOO_LARGE' },
  'encoding.unsupported': { code: 'VALIDATION_FAILED', message: 'This Content-Encoding is not supported.' },
  'charset.unsupported': { code: 'VALIDATION_FAILED', message: 'Send the body in UTF-8.' },
  'request.size.invalid': { code: 'VALIDATION_FAILED', message: 'The Content-Length does not match the body.' },
  'request.aborted': { code: 'VALIDATION_FAILED', message: 'The request ended before its body was complete.' },
};

const HTTP_ERRORS: Readonly<Record<number, ErrorCode>> = {
  400: 'VALIDATION_FAILED',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  413: 'BODY_TOO_LARGE',
  429: 'RATE_LIMITED',
  503: 'UNAVAILABLE',
};

function field(error: object, name: string): unknown {
  return name in error ? (error as Record<string, unknown>)[name] : undefined;
}

/** Anything thrown, as one of our own reasons. What is not known becomes INTERNAL, with the original as its cause. */
export function toDomainError(error: unknown): DomainError {
  if (error instanceof DomainError) {
    return error;
  }
  if (error instanceof HttpException) {
    // Nest wraps what middleware threw; the cause says it more exactly than the status.
    const inner = error.cause === undefined ? null : toDomainError(error.cause);
    if (inner && inner.code !== 'INTERNAL') {
      return inner;
    }
    return new DomainError(
      HTTP_ERRORS[error.getStatus()] ?? (error.getStatus() < 500 ? 'VALIDATION_FAILED' : 'INTERNAL'),
      {
        cause: error,
      },
    );
  }
  if (typeof error === 'object' && error !== null) {
    const known = BODY_ERRORS[String(field(error, 'type'))];
    if (known) {
      return new DomainError(known.code, { cause: error, ...(known.message ? { message: known.message } : {}) });
    }
    if (error instanceof URIError) {
      return new DomainError('VALIDATION_FAILED', { message: 'The address is not validly encoded.', cause: error });
    }
    if (isDatabaseAway(error)) {
      return new DomainError('UNAVAILABLE', { cause: error });
    }
  }
  return new DomainError('INTERNAL', { cause: error });
}
