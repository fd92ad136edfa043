import { pino, type Logger, type LoggerOptions } from 'pino';

export type { Logger } from 'pino';

/**
 * Paths that never reach a log. SQL errors carry their query and parameters (driver and ORM alike), requests carry
 * credentials in headers.
 */
export const REDACTED_PATHS = [
  'err.query',
  'err.parameters',
  'err.driverError',
  'err.cause.query',
  'err.cause.parameters',
  'err.cause.driverError',
  'err.config',
  'err.client',
  'err.cause.client',
  'req.headers.authorization',
  'req.headers.cookie',
  'req.headers["x-aviary-identity"]',
  'res.headers["set-cookie"]',
  'password',
  'token',
  'secret',
  '*.password',
  '*.token',
  '*.secret',
];

export function loggerOptions(service: string, level: string): LoggerOptions {
  return {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
  };
}

/** One JSON object a line on standard output (fd 1), or on `fd` 2 where stdout is a command's result. */
export function createLogger(service: string, level: string, fd: 1 | 2 = 1): Logger {
  return pino(loggerOptions(service, level), pino.destination({ fd, sync: fd === 2 }));
}
