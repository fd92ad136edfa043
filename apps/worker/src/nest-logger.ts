import type { LoggerService } from '@nestjs/common';
import type { Logger } from '#libs/telemetry';

/** The framework's own lines in our JSON; its start-up chatter only when debugging. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.logger.debug({ rest }, String(message));
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.logger.error(message instanceof Error ? { err: message, rest } : { rest }, String(message));
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.logger.warn({ rest }, String(message));
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.logger.debug({ rest }, String(message));
  }
}
