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
const AWAY_WORDS = /connection terminated|timeout expired|Connection timeout|driver not connected/i;

/** True when the database did not answer at all; asking again later may help. */
export function isDatabaseAway(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; at && depth < 5; depth += 1) {
    const { code, driverError, cause, errors } = fields(at);
    if (typeof code === 'string' && AWAY.test(code)) {
      return true;
    }
    if (at instanceof Error && AWAY_WORDS.test(at.message)) {
      return true;
    }
    at = driverError ?? cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
  return false;
}

/** The name of the unique constraint or index that refused a row, or null when the error is another one. */
export function violatedUnique(error: unknown): string | null {
  const { code, constraint } = fields(fields(error).driverError ?? error);
  return code === '23505' && typeof constraint === 'string' ? constraint : null;
}
