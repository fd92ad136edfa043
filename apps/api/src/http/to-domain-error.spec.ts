import { BadRequestException, NotFoundException } from '@nestjs/common';
import { DomainError, ERROR_CODES } from '#libs/contracts';
import { STATUS_OF_ERROR } from './status-of-error.js';
import { toDomainError } from './to-domain-error.js';

const parserError = (type: string): Error => Object.assign(new SyntaxError('Unexpected token'), { type });

it('keeps our own reasons as they are', () => {
  const error = new DomainError('QUOTA_EXCEEDED', { details: { used: 1 } });
  expect(toDomainError(error)).toBe(error);
});

it('names what the sender of a body did wrong', () => {
  expect(toDomainError(parserError('entity.parse.failed')).code).toBe('MALFORMED_JSON');
  expect(toDomainError(parserError('entity.too.large')).code).toBe('BODY_TOO_LARGE');
  expect(toDomainError(parserError('charset.unsupported')).code).toBe('VALIDATION_FAILED');
  expect(toDomainError(new URIError('bad')).code).toBe('VALIDATION_FAILED');
  expect(toDomainError(new NotFoundException()).code).toBe('NOT_FOUND');
  const wrapped = new BadRequestException('x', { cause: parserError('entity.parse.failed') });
  expect(toDomainError(wrapped).code).toBe('MALFORMED_JSON');
});

it('tells a database that is away from a fault of ours, and never passes on the text of either', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:5432'), { code: 'ECONNREFUSED' });
  expect(toDomainError(refused).code).toBe('UNAVAILABLE');
  const broken = toDomainError(Object.assign(new Error('column "secret" does not exist'), { code: '42703' }));
  expect(broken.code).toBe('INTERNAL');
  expect(broken.message).not.toContain('secret');
  expect(broken.cause).toMatchObject({ code: '42703' });
  for (const odd of [undefined, null, 'text', 7]) {
    expect(toDomainError(odd).code).toBe('INTERNAL');
  }
});

it('gives every code a status that clients treat as an error', () => {
  for (const code of ERROR_CODES) {
    expect(STATUS_OF_ERROR[code]).toBeGreaterThanOrEqual(400);
    expect(STATUS_OF_ERROR[code]).toBeLessThan(600);
  }
});
