import { ERROR_TEXT, type ErrorBody, type ErrorCode } from '#libs/contracts';

/** A failed answer as pages show it: what is wrong, and the id that finds its log line. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly errorId: string | null;
  readonly details: Record<string, unknown>;

  constructor(body: Omit<ErrorBody, 'errorId'> & { errorId: string | null }) {
    super(body.message);
    this.name = 'ApiError';
    this.code = body.code;
    this.errorId = body.errorId;
    this.details = body.details;
  }
}

/** No answer of ours came: no network, or something in between answered. Says nothing about stacks: they run on. */
export class PortalAwayError extends Error {
  constructor(cause: unknown) {
    super('The portal does not answer. Your stack runs on without it.', { cause });
    this.name = 'PortalAwayError';
  }
}

function isErrorBody(body: unknown): body is ErrorBody {
  return (
    typeof body === 'object' &&
    body !== null &&
    'code' in body &&
    Object.hasOwn(ERROR_TEXT, String(body.code)) &&
    'message' in body
  );
}

export function toError(status: number, body: unknown): Error {
  if (isErrorBody(body)) {
    return new ApiError({ ...body, details: body.details ?? {} });
  }
  return new PortalAwayError(`status ${status}`);
}

export function isApiError(error: unknown, ...codes: ErrorCode[]): error is ApiError {
  return error instanceof ApiError && (codes.length === 0 || codes.includes(error.code));
}

/** True when `details.fields` of VALIDATION_FAILED names the field. */
export function isFieldError(error: unknown, field: string): boolean {
  const fields = isApiError(error) ? error.details['fields'] : undefined;
  return typeof fields === 'object' && fields !== null && Object.hasOwn(fields, field);
}

/** Whole seconds to wait, where the answer says so (429, lock-out). */
export function retryAfterSeconds(error: unknown): number | null {
  const value = isApiError(error) ? error.details['retryAfterSeconds'] : undefined;
  return typeof value === 'number' && value > 0 ? Math.ceil(value) : null;
}
