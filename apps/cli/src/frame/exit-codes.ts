import type { ErrorCode } from '#libs/contracts';

/** What a script learns from the exit code. Not met is never 0. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  busy: 5,
  refused: 6,
  unfinished: 7,
  problems: 8,
  away: 9,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Every code has one; those not named here are plain failures. */
const BY_CODE: Partial<Record<ErrorCode, ExitCode>> = {
  VALIDATION_FAILED: EXIT.usage,
  NOT_FOUND: EXIT.notFound,
  UNAUTHENTICATED: EXIT.notAllowed,
  FORBIDDEN: EXIT.notAllowed,
  ACCOUNT_NOT_ACTIVE: EXIT.notAllowed,
  EMAIL_NOT_VERIFIED: EXIT.notAllowed,
  TENANT_BUSY: EXIT.busy,
  WRONG_STATE: EXIT.busy,
  BOTS_RUNNING: EXIT.busy,
  LOST_RACE: EXIT.busy,
  EMAIL_TAKEN: EXIT.busy,
  USERNAME_TAKEN: EXIT.busy,
  IDEMPOTENCY_IN_PROGRESS: EXIT.busy,
  REPOSITORY_LOCKED: EXIT.busy,
  QUOTA_EXCEEDED: EXIT.refused,
  TRADING_HELD: EXIT.refused,
  DISK_FULL: EXIT.refused,
  NO_CAPACITY: EXIT.refused,
  CONFIG_INVALID: EXIT.usage,
  ENGINE_UNREACHABLE: EXIT.away,
  UNAVAILABLE: EXIT.away,
  PLATFORM_MISMATCH: EXIT.away,
};

export function exitCodeOf(code: ErrorCode): ExitCode {
  return BY_CODE[code] ?? EXIT.failed;
}
