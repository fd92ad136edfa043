import {
  DomainError,
  MAX_API_TOKENS,
  wakeResponseSchema,
  type WakeRequest,
  type WakeResponse,
  type WakeToken,
  type WakeVisit,
} from '#libs/contracts';
import type { ApiDoors } from './api-doors.js';
import { allowance, askApi, shared } from './shared-ask.js';

/** A reason is a sentence; the last words of a service may be among them. */
const MAX_BYTES = 64 * 1024;
/**
 * Anybody can make tokens up, and each costs a question. All that a stack can have may come at the same moment; beyond
 * that a program asks again anyway while it waits. What is made up keeps a valid token waiting, at worst, never an owner.
 */
const TOKENS = { atOnce: MAX_API_TOKENS, perSecond: 5 };

/**
 * Asks the api to wake a stack. UNAUTHENTICATED: the session has ended, or it is no valid token of this stack;
 * UNAVAILABLE: no usable answer came; RATE_LIMITED: too many ask.
 */
export interface Wake {
  forVisit: (request: WakeVisit) => Promise<WakeResponse>;
  forToken: (request: WakeToken) => Promise<WakeResponse>;
}

export function wakeAt(api: ApiDoors, now: () => number): Wake {
  const allows = allowance(TOKENS, now);
  // Apart, so that a flood of tokens takes no owner's place.
  return {
    forVisit: shared((request) => ask(api, request), { keyOf: ({ tenant, sid }) => `${tenant} ${sid}`, now }),
    forToken: shared((request) => ask(api, request), {
      keyOf: ({ tenant, digest }) => `${tenant} ${digest}`,
      admits: ({ tenant }) => allows(tenant),
      now,
    }),
  };
}

async function ask(api: ApiDoors, request: WakeRequest): Promise<WakeResponse> {
  try {
    const { status, text } = await askApi(api, { path: '/internal/wake', body: request }, { maxBytes: MAX_BYTES });
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
