import { DomainError, redeemResponseSchema } from '#libs/contracts';
import type { ApiDoors } from './api-doors.js';
import { boundedText } from './revocations.js';

/** A person waits for this in front of a blank page; the proxy itself would wait longer. */
const DEADLINE_MS = 4000;
const MAX_BYTES = 16 * 1024;
/** People signing in at the same moment; more is a flood of made-up codes, and the api is spared it. */
const MAX_OPEN = 32;

export type Redeem = (request: {
  code: string;
  host: string;
  state: string;
}) => Promise<{ token: string; next: string }>;

/**
 * Asks the api, once, what a sign-on code stands for. TOKEN_INVALID: the api refused it (used, expired, of another
 * browser); UNAVAILABLE: no usable answer came.
 */
export function redeemAt(api: ApiDoors): Redeem {
  let open = 0;
  return async (request) => {
    if (open >= MAX_OPEN) {
      throw new DomainError('UNAVAILABLE', { message: 'Too many people are signing in at this moment.' });
    }
    open += 1;
    try {
      const response = await api.fetch('/internal/redeem', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(request),
        redirect: 'error',
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
      const text = await boundedText(response, MAX_BYTES);
      if (response.status >= 400 && response.status < 500) {
        throw new DomainError('TOKEN_INVALID', { details: { status: response.status } });
      }
      if (response.status !== 200 && response.status !== 201) {
        throw new Error(`the api answered ${response.status}`);
      }
      return redeemResponseSchema.parse(JSON.parse(text));
    } catch (cause) {
      if (cause instanceof DomainError) {
        throw cause;
      }
      throw new DomainError('UNAVAILABLE', { message: 'Signing in is not possible at the moment.', cause });
    } finally {
      open -= 1;
    }
  };
}
