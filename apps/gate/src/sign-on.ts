import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  DomainError,
  GATE_COOKIE,
  GATE_PATH,
  GATE_STATE_COOKIE,
  SESSION_TTL_SECONDS,
  SIGN_ON_PAGE,
  isDomainError,
  redeemRequestSchema,
  sessionCheckRequestSchema,
} from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import type { Logger } from '#libs/telemetry';
import { redirect, sendError, sendJson, sendPage } from './http/answer.js';
import { clearCookie, readCookie, setCookie } from './http/cookies.js';
import { locationPath, safeNext, type Place } from './http/targets.js';
import type { Redeem } from './redeem.js';
import type { Revocations } from './revocations.js';
import type { Sessions } from './sessions.js';

/** Time to log in at the portal, two factors and all, before the way back is closed. */
const STATE_SECONDS = 600;
const MAX_BODY = 8192;
/** A state cookie as `begin` sets it; a shorter one could be guessed by whoever wrote the link. */
const NONCE = /^[A-Za-z0-9_-]{43}$/;

export interface SignOnDeps {
  sessions: Sessions;
  revocations: Revocations;
  redeem: Redeem;
  portalOrigin: string;
  originOf: (host: string) => string;
  logger: Logger;
  now: () => number;
}

/** A request to the gate's own path on a dashboard's host, which says whose it is. */
export interface Visit {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  place: Place;
}

/** Everything below `/.aviary` on a dashboard's host. */
export class SignOn {
  constructor(private readonly deps: SignOnDeps) {}

  async handle(visit: Visit): Promise<boolean> {
    const { request, url } = visit;
    const action = `${request.method ?? ''} ${url.pathname.slice(GATE_PATH.length)}`;
    switch (action) {
      case 'GET /start':
        this.begin(visit);
        return true;
      case 'GET /callback':
        await this.finish(visit);
        return true;
      case 'GET /sign-out':
        this.askSignOut(visit);
        return true;
      case 'POST /sign-out':
        await this.signOut(visit);
        return true;
      case 'POST /sessions':
        await this.checkSessions(visit);
        return true;
      default:
        return false;
    }
  }

  private begin({ response, url, place }: Visit): void {
    const nonce = randomToken();
    const target = new URL(SIGN_ON_PAGE, this.deps.portalOrigin);
    target.searchParams.set('stack', place.slug);
    target.searchParams.set('state', hashToken(nonce));
    target.searchParams.set('next', safeNext(url.searchParams.get('next')));
    if (place.domain !== null) {
      target.searchParams.set('host', place.domain);
    }
    redirect(response, 302, target.href, [setCookie(GATE_STATE_COOKIE, nonce, STATE_SECONDS)]);
  }

  private async finish(visit: Visit): Promise<void> {
    const { request, response, url, place } = visit;
    const { slug, host } = place;
    const nonce = readCookie(request.headers.cookie, GATE_STATE_COOKIE);
    const asked = redeemRequestSchema.safeParse({
      code: url.searchParams.get('code'),
      host,
      state: nonce !== null && NONCE.test(nonce) ? hashToken(nonce) : null,
    });
    if (!asked.success) {
      // No nonce: this browser never asked to sign in here, so somebody else's link is being followed.
      await this.refuse(visit, 'no-state');
      return;
    }
    try {
      const { token, next } = await this.deps.redeem(asked.data);
      const session = await this.deps.sessions.find(token, place);
      if (!session) {
        throw new DomainError('UNAVAILABLE', { message: 'The portal gave a session that is not valid here.' });
      }
      const seconds = Math.min(SESSION_TTL_SECONDS, session.claims.exp - Math.floor(this.deps.now() / 1000));
      this.deps.logger.info({ slug, host, sid: session.claims.sid, sub: session.claims.sub }, 'signed in');
      redirect(response, 303, locationPath(safeNext(next)), [
        setCookie(GATE_COOKIE, token, seconds),
        clearCookie(GATE_STATE_COOKIE),
      ]);
    } catch (error) {
      if (isDomainError(error, 'TOKEN_INVALID')) {
        await this.refuse(visit, 'refused');
        return;
      }
      this.deps.logger.error({ err: error, slug }, 'a sign-on code could not be redeemed');
      sendPage(
        response,
        {
          status: 503,
          title: 'Signing in is not possible now',
          text: 'The portal does not answer as it should. Bots and dashboards that are open go on. Try again in a minute.',
          link: { href: `${GATE_PATH}/start`, label: 'Try again' },
        },
        this.deps.portalOrigin,
      );
    }
  }

  /** A link used twice, too late or in another browser. Who is signed in already loses nothing by it. */
  private async refuse({ request, response, place }: Visit, why: string): Promise<void> {
    const current = await this.deps.sessions.find(readCookie(request.headers.cookie, GATE_COOKIE), place);
    if (current) {
      redirect(response, 303, '/');
      return;
    }
    this.deps.logger.warn({ slug: place.slug, why }, 'a sign-on was refused');
    sendPage(
      response,
      {
        status: 403,
        title: 'This sign-in did not work',
        text: 'The link was used before, has expired, or was meant for another browser.',
        link: { href: `${GATE_PATH}/start`, label: 'Sign in again' },
      },
      this.deps.portalOrigin,
      [clearCookie(GATE_STATE_COOKIE)],
    );
  }

  private askSignOut({ response }: Visit): void {
    sendPage(
      response,
      {
        status: 200,
        title: 'Sign out of this dashboard?',
        text: 'Your bots go on. You stay signed in to the portal.',
        button: { action: `${GATE_PATH}/sign-out`, label: 'Sign out' },
      },
      this.deps.portalOrigin,
    );
  }

  private async signOut({ request, response, place }: Visit): Promise<void> {
    // Another site may send this form, cookies included where they are not held back; it cannot forge the origin.
    if (request.headers.origin !== this.deps.originOf(place.host)) {
      sendError(response, new DomainError('FORBIDDEN'));
      return;
    }
    const token = readCookie(request.headers.cookie, GATE_COOKIE);
    const session = await this.deps.sessions.find(token, place);
    if (session) {
      await this.deps.revocations.signOut(session.tokenHash);
    }
    redirect(response, 303, `${this.deps.portalOrigin}/app`, [
      clearCookie(GATE_COOKIE),
      clearCookie(GATE_STATE_COOKIE),
    ]);
  }

  private async checkSessions({ request, response }: Visit): Promise<void> {
    const parsed = sessionCheckRequestSchema.safeParse(await readJson(request));
    if (!parsed.success) {
      throw new DomainError('VALIDATION_FAILED');
    }
    sendJson(response, 200, { revoked: parsed.data.sids.filter((sid) => this.deps.revocations.has(sid)) });
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) {
      throw new DomainError('BODY_TOO_LARGE');
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch (cause) {
    throw new DomainError('MALFORMED_JSON', { cause });
  }
}
