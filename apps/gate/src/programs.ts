import type { IncomingMessage } from 'node:http';
import { API_TOKEN_PATTERN, DomainError, isDomainError, type WakeResponse } from '#libs/contracts';
import { hashToken } from '#libs/crypto';
import type { Logger } from '#libs/telemetry';
import { FAILED_START, standInMessage } from './http/pages.js';
import { apiSlug } from './http/targets.js';
import type { Starting } from './starting.js';
import type { Wake } from './wake.js';

/** A wake takes a few seconds; a whole number, as the header has to be. */
const RETRY_AFTER_SECONDS = 3;

const MESSAGES = {
  asleep:
    'This stack is asleep: no bot runs in it. Its owner wakes it by opening its dashboard, a program by asking its API with a valid token.',
  waking: 'This stack was asleep and is waking up. Ask again in a few seconds.',
  failed: FAILED_START,
} as const;

function unavailable(state: string, { again = false }: { again?: boolean } = {}): DomainError {
  const message = Object.hasOwn(MESSAGES, state) ? MESSAGES[state as keyof typeof MESSAGES] : standInMessage(state);
  return new DomainError('UNAVAILABLE', {
    message,
    details: { state, ...(again ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {}) },
  });
}

export interface Knock {
  request: IncomingMessage;
  url: URL | null;
  /** As the proxy's route says. */
  tenant: string;
  /** Whose dashboard it is, where it is one; at the API's own host the host says it. */
  slug: string | null;
  page: string;
}

/** What is said to programs in place of a stack, which read no pages. */
export class Programs {
  private readonly noted = new WeakSet<Error>();

  constructor(private readonly deps: { wake: Wake; starting: Starting; tenantDomain: string; logger: Logger }) {}

  /** The answer to one that knocks. A valid token at the API of a stack that sleeps wakes it. */
  async answer(knock: Knock): Promise<DomainError> {
    const { request, tenant, page } = knock;
    const ofApi = apiSlug(request.headers.host, this.deps.tenantDomain);
    const slug = ofApi ?? knock.slug;
    if (page === 'starting') {
      return slug === null ? unavailable(page, { again: true }) : this.starting(tenant, slug);
    }
    const digest = tokenDigest(request, knock.url);
    if (page === 'asleep' && ofApi !== null && digest !== null) {
      return this.wake(tenant, ofApi, digest);
    }
    return unavailable(page);
  }

  private async starting(tenant: string, slug: string): Promise<DomainError> {
    try {
      const { state } = await this.deps.starting({ tenant, slug, sid: null });
      return unavailable(state, { again: state === 'starting' });
    } catch (error) {
      // The portal is away: a start that is under way goes on without it.
      this.note(error, slug, 'cannot tell whether a stack still starts');
      return unavailable('starting', { again: true });
    }
  }

  /** Whoever brings no valid token reads the same as if there were no tokens. */
  private async wake(tenant: string, slug: string, digest: string): Promise<DomainError> {
    let state: WakeResponse['state'];
    try {
      ({ state } = await this.deps.wake.forToken({ tenant, slug, digest }));
    } catch (error) {
      this.note(error, slug, 'cannot tell whether a token wakes a stack');
      return unavailable('asleep');
    }
    return unavailable(state, { again: state !== 'failed' });
  }

  /** Once for all who share the answer, and not that somebody has no token or too many ask: a flood fills no log. */
  private note(error: unknown, slug: string, what: string): void {
    if (isDomainError(error, 'UNAUTHENTICATED') || isDomainError(error, 'RATE_LIMITED')) {
      return;
    }
    if (error instanceof Error && !this.noted.has(error)) {
      this.noted.add(error);
      this.deps.logger.warn({ err: error, slug }, what);
    }
  }
}

/** Of a token where one would be accepted if the stack were awake: below the API's paths. */
function tokenDigest(request: IncomingMessage, url: URL | null): string | null {
  const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  return token !== undefined && API_TOKEN_PATTERN.test(token) && url?.pathname.startsWith('/api/') === true
    ? hashToken(token)
    : null;
}
