import { DomainError, wakeResponseSchema, type WakeRequest, type WakeResponse } from '#libs/contracts';
import { askApi, shared } from './shared-ask.js';

/** A reason is a sentence; the last words of a service may be among them. */
const MAX_BYTES = 64 * 1024;

export type Wake = (request: WakeRequest) => Promise<WakeResponse>;

/**
 * Asks the api to wake a stack. UNAUTHENTICATED: the session has ended; UNAVAILABLE: no usable answer came.
 */
export function wakeAt(apiUrl: string, now: () => number): Wake {
  return shared(
    (request) => ask(apiUrl, request),
    ({ tenant, sid }) => `${tenant} ${sid}`,
    now,
  );
}

async function ask(apiUrl: string, request: WakeRequest): Promise<WakeResponse> {
  try {
    const { status, text } = await askApi(new URL('/internal/wake', apiUrl), request, { maxBytes: MAX_BYTES });
    if (status === 409) {
      // It is still falling asleep; whoever waits here asks again in a moment.
      return { state: 'waking' };
    }
    if (status === 401 || status === 403 || status === 404) {
      throw new DomainError('UNAUTHENTICATED');
    }
    if (status !== 200) {
      throw new Error(`the api answered ${status}`);
    }
    return wakeResponseSchema.parse(JSON.parse(text));
  } catch (cause) {
    if (cause instanceof DomainError) {
      throw cause;
    }
    throw new DomainError('UNAVAILABLE', { message: 'The stack cannot be woken at this moment.', cause });
  }
}
