import { Catch } from '@nestjs/common';
import type { Response } from 'express';
import type { DomainError } from '#libs/contracts';
import { ErrorFilter } from './error.filter.js';
import type { ApiRequest } from './request.js';

/**
 * For a route that a page sends a form to: a browser that gets an error would show it in place of the page, so it gets
 * nothing and stays where it is. That holds for what guards refuse too. What went wrong is told elsewhere.
 */
@Catch()
export class FormErrorFilter extends ErrorFilter {
  protected override answer(error: DomainError, request: ApiRequest, response: Response): void {
    if (request.headers['sec-fetch-mode'] !== 'navigate') {
      super.answer(error, request, response);
      return;
    }
    // The line of the request says 204.
    request.log.info({ code: error.code, details: error.details }, 'a form was refused');
    response.setHeader('Cache-Control', 'no-store');
    response.status(204).end();
  }
}
