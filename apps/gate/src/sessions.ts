import type { KeyObject } from 'node:crypto';
import { IDENTITY_TTL_SECONDS, type SessionClaims, sessionClaimsSchema } from '#libs/contracts';
import { hashToken, signToken, verifyToken } from '#libs/crypto';
import type { Place } from './http/targets.js';
import type { Revocations } from './revocations.js';

/** A runtime may be handed a token this close to its end: long enough for its own clock to lag behind ours. */
const RESIGN_BEFORE_SECONDS = 30;
/** Sessions remembered as verified; about 2 kB each. */
const CACHE_SIZE = 5000;

export interface Session {
  claims: SessionClaims;
  tokenHash: string;
  identity: { token: string; expiresAt: number } | null;
  signing: Promise<string> | null;
}

export interface SessionOptions {
  signOnKey: KeyObject;
  gateKey: KeyObject;
  revocations: Pick<Revocations, 'has'>;
  now: () => number;
}

/**
 * Tells who holds a session token. A signature is checked once per token and then remembered, and an identity token
 * serves for half its life, so the usual answer costs a look-up; expiry and revocation are asked each time.
 */
export class Sessions {
  private readonly known = new Map<string, Session>();

  constructor(private readonly options: SessionOptions) {}

  /**
   * The session of a token that is valid here and now and on this very host, or null. The name the portal signed says
   * whose it is. Should a stack that is gone and a new one have drawn the same name, the new one's runtime refuses the
   * identity: that names the tenant the portal signed. `tenant` is what a route says besides.
   */
  async find(
    token: string | null,
    { slug, domain }: Pick<Place, 'slug' | 'domain'>,
    tenant?: string,
  ): Promise<Session | null> {
    if (token === null) {
      return null;
    }
    const session = this.known.get(token) ?? (await this.verify(token));
    const here = session?.claims.slug === slug && (tenant === undefined || session.claims.aud === tenant);
    if (!session || !here || (session.claims.host ?? null) !== domain) {
      return null;
    }
    if (
      session.claims.exp * 1000 <= this.options.now() ||
      this.options.revocations.has(session.claims.sid, session.tokenHash)
    ) {
      this.known.delete(token);
      return null;
    }
    return session;
  }

  /** A token for the runtime that names the session's person; valid for at least half a minute more. */
  async identity(session: Session): Promise<string> {
    const now = this.options.now() / 1000;
    const ready = session.identity;
    if (ready && ready.expiresAt - now > RESIGN_BEFORE_SECONDS) {
      return ready.token;
    }
    session.signing ??= this.sign(session).finally(() => {
      session.signing = null;
    });
    return session.signing;
  }

  private async sign(session: Session): Promise<string> {
    const { aud, sub, sid, slug, name, role, host, exp } = session.claims;
    const now = Math.floor(this.options.now() / 1000);
    const ttlSeconds = Math.max(1, Math.min(IDENTITY_TTL_SECONDS, exp - now));
    const token = await signToken(
      this.options.gateKey,
      { sub, sid, slug, name, role, ...(host === undefined ? {} : { host }) },
      { issuer: 'aviary-gate', audience: aud, ttlSeconds, now: new Date(this.options.now()) },
    );
    session.identity = { token, expiresAt: now + ttlSeconds };
    return token;
  }

  private async verify(token: string): Promise<Session | null> {
    const payload = await verifyToken(this.options.signOnKey, token, {
      issuer: 'aviary-portal',
      now: new Date(this.options.now()),
    });
    const parsed = sessionClaimsSchema.safeParse(payload);
    if (!parsed.success) {
      return null;
    }
    if (this.known.size >= CACHE_SIZE) {
      // The oldest goes; its next request is verified again and nothing else changes.
      const oldest = this.known.keys().next();
      if (!oldest.done) {
        this.known.delete(oldest.value);
      }
    }
    const session = { claims: parsed.data, tokenHash: hashToken(token), identity: null, signing: null };
    this.known.set(token, session);
    return session;
  }
}
