import type { ServerResponse } from 'node:http';
import type { StackCounts } from '#libs/backup';
import { askCountsSchema, DomainError } from '#libs/contracts';

/** Of the whole answer: who asks goes on without it then. */
const ANSWER_MS = 4_000;

export type CountsAnswer = (query: URLSearchParams, response: ServerResponse) => Promise<void>;

/** `GET /counts?stack`: how much of what a restore would lose is in that stack's database now. */
export function countsAnswer(counts: () => Pick<StackCounts, 'read'>): CountsAnswer {
  return async (query, response) => {
    const asked = askCountsSchema.safeParse(Object.fromEntries(query));
    if (!asked.success) {
      throw new DomainError('VALIDATION_FAILED', { message: 'It takes the id of a stack.' });
    }
    const left = new AbortController();
    response.once('close', () => left.abort(new Error('the reader left')));
    const signal = AbortSignal.any([left.signal, AbortSignal.timeout(ANSWER_MS)]);
    const answer = await counts().read(asked.data.stack, signal);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  };
}
