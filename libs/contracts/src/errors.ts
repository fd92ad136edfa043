/**
 * Every reason the platform can give for not doing a thing. A code is stable: clients and scripts branch on it.
 * The text says what is wrong in general; the message of one error may say it more precisely.
 */
export const ERROR_TEXT = {
  VALIDATION_FAILED: 'Some fields are not valid. See details for each of them.',
  MALFORMED_JSON: 'The request body is not valid JSON.',
  BODY_TOO_LARGE: 'The request body is larger than this address accepts.',
  UNAUTHENTICATED: 'Sign in to do this.',
  INVALID_CREDENTIALS: 'The e-mail address, user name or password is wrong.',
  ACCOUNT_LOCKED: 'Too many failed sign-ins. Wait, or reset your password.',
  ACCOUNT_NOT_ACTIVE: 'This account cannot do that in its present state.',
  EMAIL_NOT_VERIFIED: 'Confirm your e-mail address first. You can ask for a new link.',
  TOKEN_INVALID: 'This link or token is not valid. Ask for a new one.',
  TOKEN_EXPIRED: 'This link or token has expired. Ask for a new one.',
  TOKEN_REUSED: 'This token was used before, so the session was ended for safety. Sign in again.',
  EMAIL_TAKEN: 'An account with this e-mail address exists. Sign in instead.',
  USERNAME_TAKEN: 'This user name is taken. Choose another.',
  DISCLAIMER_REQUIRED: 'Read and accept the current risk disclaimer first.',
  FORBIDDEN: 'You are not allowed to do this.',
  NOT_FOUND: 'There is no such thing, or it is not yours.',
  RATE_LIMITED: 'Too many requests. Wait a little and try again.',
  IDEMPOTENCY_KEY_REUSED: 'This Idempotency-Key was used for a different request. Use a new key.',
  IDEMPOTENCY_IN_PROGRESS: 'A request with this Idempotency-Key is still being answered. Try again in a moment.',
  TENANT_BUSY: 'Another operation is running on this stack. Wait for it, or cancel it.',
  WRONG_STATE: 'This is not possible in the present state.',
  BOTS_RUNNING: 'Bots run in this stack, or it cannot be told whether any does, so it was not put to sleep.',
  LOST_RACE: 'Somebody else changed this at the same moment. Look again and retry.',
  FENCED: 'This work was taken over by another worker.',
  TRADING_HELD:
    'This stack is a copy of another, so nothing of it trades until that is allowed: two stacks must never trade one account. It is allowed on the stack’s page in the portal.',
  QUOTA_EXCEEDED: 'Your plan does not allow more of these.',
  DISK_FULL:
    'The disk is nearly full, so nothing new is begun in this stack. Its page in the portal says whether that is its plan’s or its host’s; it goes on by itself when there is room.',
  NO_CAPACITY: 'There is no room for another stack at the moment. Try again later.',
  TEMPLATE_INVALID: 'The stack template is not acceptable.',
  ROUTE_INVALID: 'A route would not be valid, so it was not published.',
  IMAGE_MISSING: 'An image this stack needs is not on the engine.',
  ENGINE_UNREACHABLE: 'The container engine does not answer.',
  ENGINE_REFUSED: 'The container engine refused a request.',
  ENGINE_CONFLICT: 'The container engine holds a thing of that name already.',
  BACKUP_FAILED: 'The backup could not be taken.',
  CARRY_FAILED: 'The stack’s data could not be brought to the other major version of its database.',
  BACKUP_UNVERIFIED: 'The backup could not be restored for its check, so it does not count.',
  REPOSITORY_MISSING: 'There is no backup repository at that place.',
  REPOSITORY_LOCKED: 'Something else works on this backup repository. Try again once it has ended.',
  REPOSITORY_KEY: 'This backup repository does not open with its password.',
  REPOSITORY_DAMAGED: 'This backup repository is damaged.',
  REPOSITORY_FAILED: 'The backup repository could not be read or written.',
  KEY_LOST: 'What is sealed for this stack does not open: its data key is missing or damaged.',
  HEALTH_GATE_FAILED: 'The stack did not become healthy in time.',
  DEADLINE_EXCEEDED: 'This took longer than it may.',
  OPERATION_CANCELLED: 'The operation was cancelled.',
  GAVE_UP: 'The operation was begun too often without coming to an end.',
  DATA_MISSING: 'The stack found an empty or foreign database where its own should be, so it did not start.',
  PLATFORM_MISMATCH: 'This database belongs to another platform.',
  CONFIG_INVALID: 'The configuration is not valid.',
  PRICE_STALE: 'There is no fresh price for this pair. Try again when prices are back.',
  STRATEGY_INVALID: 'These strategy settings cannot be traded.',
  INSUFFICIENT_BALANCE: 'The balance is too small for this.',
  MAIL_FAILED: 'The mail could not be delivered.',
  UNAVAILABLE: 'The platform cannot do this at the moment. Try again soon.',
  INTERNAL: 'Something went wrong on our side. Quote the errorId when you ask for help.',
} as const;

export type ErrorCode = keyof typeof ERROR_TEXT;
export const ERROR_CODES = Object.keys(ERROR_TEXT) as ErrorCode[];

export type ErrorDetails = Record<string, unknown>;

/** The body of every failed answer. `errorId` finds the log line; `details` never holds a secret. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  errorId: string;
  details: ErrorDetails;
}

export interface DomainErrorOptions {
  /** What exactly is wrong and what the person can do; defaults to the code's text. */
  message?: string;
  details?: ErrorDetails;
  cause?: unknown;
}

/** The only error a library throws on purpose. Apps map its code to a status number or exit code. */
export class DomainError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, options: DomainErrorOptions = {}) {
    super(options.message ?? ERROR_TEXT[code], options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DomainError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** What another of our processes answered instead of what it was asked for, as the error it threw. */
export function errorBodyOf(body: string): DomainError {
  try {
    const { code, message, details } = JSON.parse(body) as Partial<ErrorBody>;
    if (code !== undefined && code in ERROR_TEXT) {
      return new DomainError(code, {
        ...(message === undefined ? {} : { message }),
        ...(details === undefined ? {} : { details }),
      });
    }
  } catch {
    // Not ours at all: told as what it is below.
  }
  return new DomainError('INTERNAL', { cause: new Error(body.slice(0, 200)) });
}

export function isDomainError(error: unknown, code?: ErrorCode): error is DomainError {
  return error instanceof DomainError && (code === undefined || error.code === code);
}
