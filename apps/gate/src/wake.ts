import { DomainError, wakeResponseSchema, type WakeRequest, type WakeResponse } from '#libs/contracts';
import { boundedText } from './revocations.js';

/** A person waits for this in front of a blank page; the page that follows asks again by itself. */
const DEADLINE_MS = 3_000;
const MAX_BYTES = 1024;
/** An answer serves all who look within this time: about as long as the waiting page waits before it looks again. */
const KEEP_MS = 1_500;
/** Stacks being asked about at this moment; more is a flood, and the api is spared it. */
const MAX_OPEN = 64;

export type Wake = (request: WakeRequest) => Promise<WakeResponse['state']>;

/**
 * Asks the api to wake a stack: once for all who stand before it with the same session at the same time, and once
 * only for each pause of the waiting page. UNAUTHENTICATED: the session has ended; UNAVAILABLE: no usable answer came.
 */
export function wakeAt(apiUrl: string, now: () => number): Wake {
  const asked = new Map<string, { at: number; answer: Promise<WakeResponse['state']> }>();
  let open = 0;
  return async (request) => {
    const key = `${request.tenant} ${request.sid}`;
    const known = asked.get(key);
    if (known && now() - known.at < KEEP_MS) {
      return known.answer;
    }
    if (open >= MAX_OPEN) {
      throw new DomainError('UNAVAILABLE', { message: 'Too many stacks are being woken at this moment.' });
    }
    open += 1;
    const answer = ask(apiUrl, request).finally(() => {
      open -= 1;
    });
    asked.set(key, { at: now(), answer });
    for (const [old, { at }] of asked) {
      if (now() - at >= KEEP_MS) {
        asked.delete(old);
      }
    }
    return answer;
  };
}

async function ask(apiUrl: string, request: WakeRequest): Promise<WakeResponse['state']> {
  try {
    const response = await fetch(new URL('/internal/wake', apiUrl), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      redirect: 'error',
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const text = await boundedText(response, MAX_BYTES);
    if (response.status === 409) {
      // It is still falling asleep; whoever waits here asks again in a moment.
      return 'waking';
    }
    if (response.status === 401 || response.status === 403 || response.status === 404) {
      throw new DomainError('UNAUTHENTICATED');
    }
    if (response.status !== 200) {
      throw new Error(`the api answered ${response.status}`);
    }
    return wakeResponseSchema.parse(JSON.parse(text)).state;
  } catch (cause) {
    if (cause instanceof DomainError) {
      throw cause;
    }
    throw new DomainError('UNAVAILABLE', { message: 'The stack cannot be woken at this moment.', cause });
  }
}
