import type { KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { DomainError, IDENTITY_HEADER, identityClaimsSchema, type RuntimeMe, type StackSpec } from '#libs/contracts';
import { verifyToken } from '#libs/crypto';
import type { TokenService } from './token-service.js';

/** Who asks. The runtime believes the gate's signature and its own tokens, and nothing else. */
export interface Caller {
  kind: RuntimeMe['kind'];
  name: string;
  role: RuntimeMe['role'];
  mayTrade: boolean;
  session: string | null;
  /** The owner's own domain that they came by; null at the stack's own host. */
  domain: string | null;
  token: { id: string; expiresAt: Date } | null;
}

/** Clocks of gate and runtime are the same host's or NTP's; a few seconds cover the rest. */
const LEEWAY_SECONDS = 5;

export class Authenticator {
  constructor(private readonly deps: { spec: StackSpec; gateKey: KeyObject; tokens: TokenService }) {}

  /** Throws UNAUTHENTICATED for everybody but a signed-in person or, below /api/, a valid token. */
  async authenticate(request: IncomingMessage, path: string): Promise<Caller> {
    const identity = request.headers[IDENTITY_HEADER];
    const caller = identity === undefined ? await this.byToken(request, path) : await this.byIdentity(String(identity));
    if (!caller) {
      throw new DomainError('UNAUTHENTICATED');
    }
    if (caller.kind === 'person') {
      this.checkOrigin(request, caller.domain);
    }
    return caller;
  }

  private async byIdentity(token: string): Promise<Caller | null> {
    const { spec, gateKey } = this.deps;
    const claims = identityClaimsSchema.safeParse(
      await verifyToken(gateKey, token, {
        issuer: 'aviary-gate',
        audience: spec.tenant,
        leewaySeconds: LEEWAY_SECONDS,
      }),
    );
    if (!claims.success || claims.data.slug !== spec.slug) {
      return null;
    }
    const { name, role, sid, host } = claims.data;
    return { kind: 'person', name, role, mayTrade: role === 'owner', session: sid, domain: host ?? null, token: null };
  }

  private async byToken(request: IncomingMessage, path: string): Promise<Caller | null> {
    const bearer = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (bearer === undefined || !path.startsWith('/api/')) {
      return null;
    }
    const token = await this.deps.tokens.find(bearer);
    return token
      ? {
          kind: 'token',
          name: token.name,
          role: 'token',
          mayTrade: token.scope === 'trade',
          session: null,
          domain: null,
          token: { id: token.id, expiresAt: token.expiresAt },
        }
      : null;
  }

  /**
   * A person's cookie travels with every request of their browser, also one that a neighbour stack's page makes: the
   * hosts are siblings, so SameSite does not tell them apart. What changes something must come from our own page.
   */
  private checkOrigin(request: IncomingMessage, domain: string | null): void {
    if (request.method === 'GET' || request.method === 'HEAD') {
      return;
    }
    const { origin } = request.headers;
    const site = request.headers['sec-fetch-site'];
    const home = new URL(this.deps.spec.dashboardUrl);
    if (domain !== null) {
      // The gate's signature says so: it knows of it by a route that exists for proven domains alone.
      home.hostname = domain;
    }
    const own = home.origin;
    if ((origin !== undefined && origin !== own) || (site !== undefined && site !== 'same-origin')) {
      throw new DomainError('FORBIDDEN', {
        message: 'This request did not come from this dashboard’s own page.',
        details: { reason: 'foreign_page' },
      });
    }
  }
}
