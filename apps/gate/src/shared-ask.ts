import { DomainError } from '#libs/contracts';
import { boundedText } from './revocations.js';

/** A person waits for this in front of a blank page; the page that follows asks again by itself. */
const DEADLINE_MS = 3_000;
/** An answer serves all who look within this time: about as long as a waiting page waits before it looks again. */
const KEEP_MS = 1_500;
/** Questions open at this moment; more is a flood, and the api is spared it. */
const MAX_OPEN = 64;

/**
 * Asks once for all who want to know the same at the same time, and once only for each pause of a waiting page.
 * UNAVAILABLE where too many are asking.
 */
export function shared<Q, A>(ask: (question: Q) => Promise<A>, keyOf: (question: Q) => string, now: () => number) {
  const asked = new Map<string, { at: number; answer: Promise<A> }>();
  let open = 0;
  return async (question: Q): Promise<A> => {
    const key = keyOf(question);
    const known = asked.get(key);
    if (known && now() - known.at < KEEP_MS) {
      return known.answer;
    }
    if (open >= MAX_OPEN) {
      throw new DomainError('UNAVAILABLE', { message: 'Too many look at stacks that are not there at this moment.' });
    }
    open += 1;
    const answer = ask(question).finally(() => {
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

/** One question to the api's private port; what it says is bounded in time and size. */
export async function askApi(
  url: URL,
  question: object,
  { maxBytes }: { maxBytes: number },
): Promise<{ status: number; text: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(question),
    redirect: 'error',
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  return { status: response.status, text: await boundedText(response, maxBytes) };
}
