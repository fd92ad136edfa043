import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { Drain } from '#libs/async';
import {
  BALANCER_PATH,
  DomainError,
  isDomainError,
  GATE_COOKIE,
  GATE_PATH,
  IDENTITY_HEADER,
  USER_HEADER,
} from '#libs/contracts';
import { METRICS_TYPE, type Logger } from '#libs/telemetry';
import { CHALLENGE_PREFIX, readChallenge } from './challenges.js';
import { redirect, sendError, sendJson, sendPage } from './http/answer.js';
import { readCookie } from './http/cookies.js';
import {
  failedStartPage,
  isStandIn,
  standInMessage,
  standInPage,
  WAKING,
  WAKING_LATER,
  type Page,
} from './http/pages.js';
import { placeOf, type Place } from './http/targets.js';
import type { GateMetrics } from './metrics.js';
import type { Programs } from './programs.js';
import type { Revocations } from './revocations.js';
import type { Sessions } from './sessions.js';
import type { SignOn } from './sign-on.js';
import type { Starting } from './starting.js';
import type { Wake } from './wake.js';

/** Set by the proxy's routes, which replace any copy from outside. */
const TENANT_HEADER = 'x-aviary-tenant';
const PAGE_HEADER = 'x-aviary-page';
const SLUG_HEADER = 'x-aviary-slug';
/** By the shared route as it stands; by that of an owner's domain with what the host does not say. */
const QUESTION = /^\/auth(?:\?tenant=([0-9a-f-]{36})&slug=(u[a-z2-7]{6}))?$/;
/** Asked by those who watch this process for as long as it lives: nobody waits for these, and they say nothing of its work. */
const WATCHED = new Set([`/${BALANCER_PATH}`, '/healthz', '/metrics']);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface GateDeps {
  sessions: Sessions;
  revocations: Revocations;
  signOn: SignOn;
  wake: Wake;
  starting: Starting;
  programs: Programs;
  drain: Drain;
  tenantDomain: string;
  originOf: (host: string) => string;
  portalOrigin: string;
  webRoot: string;
  metrics: GateMetrics;
  logger: Logger;
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A person opening a page; not a browser that fetches one ahead, nor anything that only looks for what is there. */
const isVisit = (request: IncomingMessage): boolean =>
  request.method === 'GET' &&
  !/prefetch|prerender/i.test(`${header(request, 'sec-purpose') ?? ''} ${header(request, 'purpose') ?? ''}`);

/** A browser asking for a page: what brings a token of its own is a program, whatever it says it would read. */
const wantsPage = (request: IncomingMessage): boolean =>
  (header(request, 'accept') ?? '').includes('text/html') && header(request, 'authorization') === undefined;

/**
 * What stands before every tenant route. A request that came by a published route carries the proxy's mark (tenant
 * or page); only one without a mark, from the proxy itself, is answered as forward-auth, health or metrics.
 */
export class Gate {
  constructor(private readonly deps: GateDeps) {}

  listen(): Server {
    const server = createServer((request, response) => {
      if (!WATCHED.has(request.url ?? '')) {
        this.deps.drain.arrived();
        this.deps.metrics.measure(request, response);
      }
      this.answer(request, response).catch((error: unknown) => {
        this.fail(response, error);
      });
    });
    server.headersTimeout = 5000;
    server.requestTimeout = 10_000;
    // Longer than the proxy keeps its idle connections (90 s): the side that asks must be the one that closes.
    server.keepAliveTimeout = 120_000;
    server.maxHeadersCount = 100;
    return server;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/';
    const tenant = header(request, TENANT_HEADER);
    const page = header(request, PAGE_HEADER);
    if (tenant !== undefined || page !== undefined) {
      await this.visit(request, response, { tenant, page: isStandIn(page) ? page : 'nothing' });
    } else if (path === '/auth' || path.startsWith('/auth?')) {
      await this.authorise(request, response, path);
    } else if (path.startsWith(CHALLENGE_PREFIX)) {
      await this.challenge(response, path);
    } else if (path === '/away') {
      this.away(request, response);
    } else if (path === '/metrics') {
      response.writeHead(200, { 'content-type': METRICS_TYPE }).end(await this.deps.metrics.read());
    } else if (path === `/${BALANCER_PATH}`) {
      this.balance(response);
    } else if (path === '/healthz') {
      sendJson(response, 200, { status: 'ok', revocationsAgeSeconds: this.deps.revocations.ageSeconds() });
    } else {
      sendError(response, new DomainError('NOT_FOUND'));
    }
  }

  /**
   * What the proxy asks once a second: whether to send requests here. A gate that knows of no ended session would refuse
   * everybody, whom another one may know.
   */
  private balance(response: ServerResponse): void {
    const { drain, revocations } = this.deps;
    if (!drain.asked()) {
      response.once('finish', () => drain.wasTold());
      sendJson(response, 503, { status: 'leaving' });
    } else {
      sendJson(response, revocations.known ? 200 : 503, { status: revocations.known ? 'ok' : 'without a list' });
    }
  }

  /** In place of the proxy's bare answer when a published stack does not answer. Whoever reads it was let in before. */
  private away(request: IncomingMessage, response: ServerResponse): void {
    if (wantsPage(request)) {
      sendPage(response, standInPage('away', this.deps.portalOrigin), this.deps.portalOrigin);
    } else {
      sendError(response, new DomainError('UNAVAILABLE', { message: standInMessage('away') }));
    }
  }

  /** Traefik's question before each request of a route `auth: portal`. */
  private async authorise(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const asked = QUESTION.exec(path);
    const [, tenant, slug] = asked ?? [];
    const host = header(request, 'x-forwarded-host');
    const place = placeOf(host, slug, this.deps.tenantDomain);
    if (asked === null || place === null) {
      sendError(response, new DomainError('FORBIDDEN'));
      return;
    }
    const session = await this.deps.sessions.find(readCookie(request.headers.cookie, GATE_COOKIE), place, tenant);
    if (session) {
      response.writeHead(200, {
        [IDENTITY_HEADER]: await this.deps.sessions.identity(session),
        [USER_HEADER]: session.claims.sub,
        'content-length': '0',
      });
      response.end();
      return;
    }
    const method = header(request, 'x-forwarded-method');
    if ((method === 'GET' || method === 'HEAD') && wantsPage(request)) {
      const next = encodeURIComponent(header(request, 'x-forwarded-uri') ?? '/');
      // Absolute: the proxy would resolve a relative one against this process's own address.
      redirect(response, 302, `${this.deps.originOf(place.host)}${GATE_PATH}/start?next=${next}`);
      return;
    }
    sendError(response, new DomainError('UNAUTHENTICATED', { message: 'Sign in to this dashboard first.' }));
  }

  /** A person's request, by one of the routes that lead here. */
  private async visit(
    request: IncomingMessage,
    response: ServerResponse,
    { tenant, page }: { tenant: string | undefined; page: string },
  ): Promise<void> {
    const place = placeOf(request.headers.host, header(request, SLUG_HEADER), this.deps.tenantDomain);
    const url = URL.parse(request.url ?? '/', 'http://gate.invalid');
    if (url?.pathname.startsWith(`${GATE_PATH}/`) && place !== null) {
      if (await this.deps.signOn.handle({ request, response, url, place })) {
        return;
      }
    } else if (page !== 'nothing' && !wantsPage(request)) {
      const known = tenant !== undefined && UUID.test(tenant);
      const { slug = null } = place ?? {};
      const error = known
        ? await this.deps.programs.answer({ request, url, tenant, slug, page })
        : new DomainError('UNAVAILABLE', { message: standInMessage(page), details: { state: page } });
      sendError(response, error);
      return;
    } else if (page === 'asleep' && place !== null && tenant !== undefined && UUID.test(tenant) && isVisit(request)) {
      if (await this.wake(request, response, { tenant, place })) {
        return;
      }
    } else if (page === 'starting' && place !== null && tenant !== undefined && UUID.test(tenant)) {
      sendPage(response, await this.waiting(request, { tenant, place }), this.deps.portalOrigin);
      return;
    }
    const stay = url?.pathname.startsWith(GATE_PATH) ? 'nothing' : page;
    if (stay === 'nothing' && !wantsPage(request)) {
      sendError(response, new DomainError('NOT_FOUND'));
      return;
    }
    sendPage(response, standInPage(stay, this.deps.portalOrigin), this.deps.portalOrigin);
  }

  /** The page of a stack that starts; of one whose start failed, that it did, and why to its owner. */
  private async waiting(request: IncomingMessage, { tenant, place }: { tenant: string; place: Place }): Promise<Page> {
    const { slug } = place;
    const { sessions, starting, portalOrigin, logger } = this.deps;
    const session = await sessions.find(readCookie(request.headers.cookie, GATE_COOKIE), place, tenant);
    const sid = session?.claims.role === 'owner' ? session.claims.sid : null;
    try {
      const { state, reason } = await starting({ tenant, slug, sid });
      if (state === 'failed') {
        return failedStartPage(slug, sid === null ? null : reason, portalOrigin);
      }
    } catch (error) {
      // The portal is away: a start that is under way goes on without it.
      logger.warn({ err: error, slug }, 'cannot tell whether a stack still starts');
    }
    return standInPage('starting', portalOrigin);
  }

  /** Wakes the stack for its owner; false for anybody else, who then reads that it sleeps. */
  private async wake(
    request: IncomingMessage,
    response: ServerResponse,
    { tenant, place }: { tenant: string; place: Place },
  ): Promise<boolean> {
    const { sessions, wake, portalOrigin, originOf, logger } = this.deps;
    const { slug, host } = place;
    const session = await sessions.find(readCookie(request.headers.cookie, GATE_COOKIE), place, tenant);
    if (session?.claims.role !== 'owner') {
      return false;
    }
    try {
      const { state, reason } = await wake.forVisit({ tenant, slug, sid: session.claims.sid });
      const pages = {
        waking: WAKING,
        away: standInPage('starting', portalOrigin),
        failed: failedStartPage(slug, reason ?? null, portalOrigin),
      };
      sendPage(response, pages[state], portalOrigin);
    } catch (error) {
      if (isDomainError(error, 'UNAUTHENTICATED')) {
        const next = encodeURIComponent(request.url ?? '/');
        redirect(response, 302, `${originOf(host)}${GATE_PATH}/start?next=${next}`);
        return true;
      }
      logger.warn({ err: error, slug }, 'a stack could not be woken');
      sendPage(response, WAKING_LATER, portalOrigin);
    }
    return true;
  }

  private async challenge(response: ServerResponse, path: string): Promise<void> {
    const content = await readChallenge(this.deps.webRoot, path);
    if (content === null) {
      sendError(response, new DomainError('NOT_FOUND'));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'x-content-type-options': 'nosniff' });
    response.end(content);
  }

  private fail(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      response.destroy();
      this.deps.logger.error({ err: error }, 'an answer broke off');
      return;
    }
    const errorId = sendError(response, error);
    if (!(error instanceof DomainError)) {
      this.deps.logger.error({ err: error, errorId }, 'a request failed');
    }
  }
}
