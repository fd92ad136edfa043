import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { Response } from 'express';
import type { DomainError, ErrorBody } from '#libs/contracts';
import type { ApiRequest } from './request.js';
import { STATUS_OF_ERROR } from './status-of-error.js';
import { toDomainError } from './to-domain-error.js';

/** Seconds after which asking again is reasonable while the platform is busy or restarting. */
const RETRY_SOON_SECONDS = 5;

export function errorBody(error: DomainError, errorId: string): ErrorBody {
  return { code: error.code, message: error.message, errorId, details: error.details };
}

/** The errorId is the request's id: one id finds the answer, the log line of the request and that of the error. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<ApiRequest>();
    const response = http.getResponse<Response>();
    const error = toDomainError(thrown);
    const status = STATUS_OF_ERROR[error.code];
    const errorId = String(request.id);
    if (status >= 500) {
      const cause = error.code === 'INTERNAL' ? (error.cause ?? error) : error;
      request.log.error({ err: cause, errorId, code: error.code }, 'request failed');
    }
    if (response.headersSent) {
      // Half an answer is out: cutting the connection is the only honest sign left.
      response.destroy();
      return;
    }
    this.answer(error, request, response);
  }

  protected answer(error: DomainError, request: ApiRequest, response: Response): void {
    const status = STATUS_OF_ERROR[error.code];
    const retryAfter: unknown = error.details['retryAfterSeconds'];
    if (typeof retryAfter === 'number') {
      response.setHeader('Retry-After', String(Math.ceil(retryAfter)));
    } else if (status === 503) {
      response.setHeader('Retry-After', String(RETRY_SOON_SECONDS));
    }
    if (status === 401) {
      response.setHeader('WWW-Authenticate', 'Bearer');
    }
    response.setHeader('Cache-Control', 'no-store');
    response.status(status).json(errorBody(error, String(request.id)));
  }
}
