import { isDomainError, ERROR_TEXT, type ErrorCode, type ErrorDetails } from '#libs/contracts';
import { Refusal } from './talk.js';

export interface Failure {
  code: ErrorCode;
  message: string;
  details: ErrorDetails;
  exit: number;
}

/** As the command line has them. */
const EXITS: Partial<Record<ErrorCode, number>> = {
  VALIDATION_FAILED: 2,
  CONFIG_INVALID: 2,
  REPOSITORY_KEY: 2,
  NOT_FOUND: 3,
  REPOSITORY_MISSING: 3,
  WRONG_STATE: 5,
  REPOSITORY_LOCKED: 5,
  NO_CAPACITY: 6,
};

/** A refusal says what it is by how the command ends. 8: checks of the machine found problems. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  2: 'CONFIG_INVALID',
  3: 'NOT_FOUND',
  4: 'FORBIDDEN',
  5: 'WRONG_STATE',
  8: 'UNAVAILABLE',
  9: 'UNAVAILABLE',
};

/** What it failed of, whatever was thrown. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal) {
    const { sentences, exitCode } = error;
    return { code: CODES[exitCode] ?? 'INTERNAL', message: sentences.join('\n'), details: {}, exit: exitCode };
  }
  if (isDomainError(error)) {
    return { code: error.code, message: error.message, details: error.details, exit: EXITS[error.code] ?? 1 };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'INTERNAL', message: message || ERROR_TEXT.INTERNAL, details: {}, exit: 1 };
}

/** The one document of --json. */
export function documentOf(schema: string, data: object | null, failure: Failure | null): string {
  const exit = failure?.exit ?? 0;
  const error = failure && {
    code: failure.code,
    message: failure.message.replaceAll('\n', ' '),
    errorId: '',
    details: failure.details,
    hint: null,
  };
  return JSON.stringify({ schema, ok: exit === 0, data, error, exit });
}
