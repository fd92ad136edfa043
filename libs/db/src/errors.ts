import { isDomainError } from '#libs/contracts';

interface PgFields {
  code?: unknown;
  constraint?: unknown;
  driverError?: unknown;
  cause?: unknown;
  errors?: unknown;
}

const fields = (error: unknown): PgFields => (typeof error === 'object' && error !== null ? error : {});

/** Connection refused or reset, server starting, stopping or out of connections (SQLSTATE classes 08 and 57P). */
const AWAY = /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|EPIPE|08\w{3}|57P0[123]|53300)$/;
/** What the driver and its pool say without a code. */
const AWAY_WORDS =
  /connection terminated|timeout expired|timeout exceeded when trying to connect|connection timeout|driver not connected/i;
/** Errors in errors; what is nested deeper was not thrown by a driver. */
const DEEPEST = 8;

/**
 * True when the portal's database did not answer at all; asking again later may help. What is a DomainError already has
 * been told by whoever knew whose absence it was (a stack's own runtime or database, the engine), and is none, whatever
 * its cause; only the deadline of a phase knows nothing of what it waited for.
 */
export function isDatabaseAway(error: unknown): boolean {
  return isAway(error, 0);
}

function isAway(error: unknown, depth: number): boolean {
  if (!error || depth > DEEPEST || (isDomainError(error) && error.code !== 'DEADLINE_EXCEEDED')) {
    return false;
  }
  const { code, driverError, cause, errors } = fields(error);
  return (
    (typeof code === 'string' && AWAY.test(code)) ||
    (error instanceof Error && AWAY_WORDS.test(error.message)) ||
    [driverError, cause, ...(Array.isArray(errors) ? errors : [])].some((inner) => isAway(inner, depth + 1))
  );
}

/** True when a lock was not had within `lock_timeout`: nothing was changed, and asking again later may help. */
export function isLockTimeout(error: unknown): boolean {
  const { code, driverError, cause } = fields(error);
  return code === '55P03' || [driverError, cause].some((inner) => Boolean(inner) && isLockTimeout(inner));
}

/** The name of the unique constraint or index that refused a row, or null when the error is another one. */
export function violatedUnique(error: unknown): string | null {
  const { code, constraint } = fields(fields(error).driverError ?? error);
  return code === '23505' && typeof constraint === 'string' ? constraint : null;
}
