import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RepositoryPasswords } from '#libs/backup';
import { DomainError, readPasswordSchema, type RepositoryPassword } from '#libs/contracts';
import { jsonBodyOf } from './json-body.js';

/** The id of an entry. */
const LARGEST_BODY = 1_024;

export type PasswordAnswer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** `POST /repository-password` with the audit entry that says who asks: the password of that stack's repository. */
export function passwordAnswer(passwords: () => Pick<RepositoryPasswords, 'read'>): PasswordAnswer {
  return async (request, response) => {
    const asked = readPasswordSchema.safeParse(await jsonBodyOf(request, LARGEST_BODY));
    if (!asked.success) {
      throw new DomainError('VALIDATION_FAILED', { message: 'It takes the entry of the audit that says who asks.' });
    }
    const answer: RepositoryPassword = { password: await passwords().read(asked.data.audit) };
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(JSON.stringify(answer));
  };
}
