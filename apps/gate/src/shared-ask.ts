import { DomainError } from '#libs/contracts';
import type { ApiDoors } from './api-doors.js';
import { boundedText } from './revocations.js';

/** A person waits for this in front of a blank page; the page that follows asks again by itself. */
const DEADLINE_MS = 3_000;
/** An answer serves all who look within this time: about as long as a waiting page waits before it looks again. */
const KEEP_MS = 1_500;
/** Questions open at this moment; more is a flood, and the api is spared it. */
const MAX_OPEN = 64;

export interface Sharing<Q> {
  keyOf: (question: Q) => string;
  /** Whether one more question may be asked; always, where it is left out. */
  admits?: (question: Q) => boolean;
  now: () => number;
}

/**
 * Asks once for all who want to know the same at the same time, and once only for each pause of a waiting page.
 * RATE_LIMITED where too many are asking.
 */
export function shared<Q, A>(ask: (question: Q) => Promise<A>, { keyOf, admits, now }: Sharing<Q>) {
  /** The oldest first, so that what is over is found without looking at all of them. */
  const asked = new Map<string, { at: number; answer: Promise<A> }>();
  let open = 0;
  return async (question: Q): Promise<A> => {
    for (const [old, { at }] of asked) {
      if (now() - at < KEEP_MS) {
        break;
      }
      asked.delete(old);
    }
    const key = keyOf(question);
    const known = asked.get(key);
    if (known) {
      return known.answer;
    }
    if (open >= MAX_OPEN || admits?.(question) === false) {
      throw new DomainError('RATE_LIMITED', { message: 'Too many look at stacks that are not there at this moment.' });
    }
    open += 1;
    const answer = ask(question).finally(() => {
      open -= 1;
    });
    asked.set(key, { at: now(), answer });
    return answer;
  };
}

/**
 * At most `atOnce` of each key, and then `perSecond` of them. Keys are few: those of stacks, as the proxy's routes name
 * them.
 */
export function allowance(
  { atOnce, perSecond }: { atOnce: number; perSecond: number },
  now: () => number,
): (key: string) => boolean {
  const left = new Map<string, { at: number; count: number }>();
  return (key) => {
    const at = now();
    const before = left.get(key) ?? { at, count: atOnce };
    const count = Math.min(atOnce, before.count + ((at - before.at) / 1_000) * perSecond);
    left.set(key, { at, count: count >= 1 ? count - 1 : count });
    return count >= 1;
  };
}

/** One question to the api's private port; what it says is bounded in time and size. */
export async function askApi(
  api: ApiDoors,
  question: { path: string; body: object },
  { maxBytes }: { maxBytes: number },
): Promise<{ status: number; text: string }> {
  const response = await api.fetch(question.path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(question.body),
    redirect: 'error',
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  return { status: response.status, text: await boundedText(response, maxBytes) };
}
