import type { KeyObject } from 'node:crypto';
import { appendAudit } from '#libs/audit';
import { httpsOrigin } from '#libs/config';
import {
  DomainError,
  GATE_PATH,
  SESSION_TTL_SECONDS,
  SIGN_IN_STATES,
  SIGN_ON_CODE_TTL_SECONDS,
  type Actor,
  type Revocations,
  type SessionClaims,
  type SignOnRequest,
} from '#libs/contracts';
import { hashToken, randomToken, sameSecret, signToken } from '#libs/crypto';
import { AccountEntity, HoldEntity, SessionEntity, SignOnCodeEntity, TenantEntity, tx, type Tx } from '#libs/db';
import { requireActor } from './authorise.js';
import { signOnPlace } from './domain.service.js';
import { isSuspended } from './domain/headline.js';
import { stackHost } from './domain/names.js';
import type { TenantDeps } from './settings.js';

interface Redeem {
  code: string;
  host: string;
  state: string;
}

/** Turns a portal session into a session at one tenant host, by a one-time code. */
export class SignOnService {
  constructor(
    private readonly deps: Pick<TenantDeps, 'dataSource' | 'now' | 'places'>,
    private readonly key: KeyObject,
  ) {}

  /**
   * Only the owner gets a code; an operator is refused like a stranger. Throws NOT_FOUND for a stack that is not
   * theirs or a `host` that is not a domain of it, FORBIDDEN for an actor without a portal session, WRONG_STATE for a
   * stack that is destroyed or suspended, and for a domain of which nobody saw lately whose it is.
   */
  async mint(actor: Actor, request: SignOnRequest): Promise<{ redirect: string }> {
    const person = requireActor(actor);
    if (person.sessionId === null) {
      throw new DomainError('FORBIDDEN', { message: 'Sign-on needs a portal session.' });
    }
    const { sessionId, accountId } = person;
    const { tenantDomain, httpsPort } = this.deps.places;
    const code = randomToken();
    return tx(this.deps.dataSource, async (db) => {
      const tenant = await db.findOneBy(TenantEntity, { slug: request.stack, accountId });
      if (!tenant) {
        throw new DomainError('NOT_FOUND', { message: `There is no stack ${request.stack}, or it is not yours.` });
      }
      await requireOpen(db, tenant);
      const host = request.host ?? stackHost('dashboard', tenant.slug, tenantDomain);
      if (request.host !== undefined) {
        await this.requireTrusted(db, tenant, request.host);
      }
      await db.insert(SignOnCodeEntity, {
        codeHash: hashToken(code),
        tenantId: tenant.id,
        accountId,
        sessionId,
        host,
        state: request.state,
        next: request.next,
        expiresAt: new Date(this.deps.now().getTime() + SIGN_ON_CODE_TTL_SECONDS * 1_000),
        usedAt: null,
      });
      await appendAudit(db, {
        actor,
        action: 'stack.sign_on',
        target: { kind: 'stack', id: tenant.id },
        after: { slug: tenant.slug, ...(request.host === undefined ? {} : { host }) },
      });
      return { redirect: `${httpsOrigin(host, httpsPort)}${GATE_PATH}/callback?code=${code}` };
    });
  }

  /**
   * Once per code, by the gate of the host it was made for, in the browser it was made for; TOKEN_* otherwise. What was
   * true when the code was made must still be: UNAUTHENTICATED, WRONG_STATE.
   */
  async redeem({ code, host, state }: Redeem): Promise<{ token: string; next: string }> {
    const now = this.deps.now();
    const { row, tenant, account, domain } = await tx(this.deps.dataSource, async (db) => {
      const found = await db.findOneBy(SignOnCodeEntity, { codeHash: hashToken(code) });
      if (!found || found.host !== host.toLowerCase() || !sameSecret(found.state, state)) {
        throw new DomainError('TOKEN_INVALID');
      }
      const used = await db
        .createQueryBuilder()
        .update(SignOnCodeEntity)
        .set({ usedAt: now })
        .where('codeHash = :hash and usedAt is null', { hash: found.codeHash })
        .execute();
      if (used.affected !== 1) {
        throw new DomainError('TOKEN_REUSED', { message: 'This sign-on was used already. Open the dashboard again.' });
      }
      if (found.expiresAt < now) {
        throw new DomainError('TOKEN_EXPIRED');
      }
      const session = await db.findOneBy(SessionEntity, { id: found.sessionId });
      const account = await db.findOneByOrFail(AccountEntity, { id: found.accountId });
      const ended = !session || session.revokedAt !== null || session.expiresAt <= now;
      if (ended || !SIGN_IN_STATES.includes(account.state)) {
        throw new DomainError('UNAUTHENTICATED');
      }
      const tenant = await db.findOneByOrFail(TenantEntity, { id: found.tenantId });
      await requireOpen(db, tenant);
      const domain =
        found.host === stackHost('dashboard', tenant.slug, this.deps.places.tenantDomain) ? null : found.host;
      if (domain !== null && (await signOnPlace(db, { tenantId: tenant.id, domain }, now)) !== 'trusted') {
        throw new DomainError('TOKEN_INVALID');
      }
      return { row: found, tenant, account, domain };
    });
    const claims: Omit<SessionClaims, 'iss' | 'aud' | 'iat' | 'exp'> = {
      sub: account.id,
      sid: row.sessionId,
      slug: tenant.slug,
      name: account.username,
      role: 'owner',
      ...(domain === null ? {} : { host: domain }),
    };
    const token = await signToken(this.key, claims, {
      issuer: 'aviary-portal',
      audience: tenant.id,
      ttlSeconds: SESSION_TTL_SECONDS,
      now,
    });
    return { token, next: row.next };
  }

  private async requireTrusted(db: Tx, { id, slug }: TenantEntity, domain: string): Promise<void> {
    const place = await signOnPlace(db, { tenantId: id, domain }, this.deps.now());
    if (place === 'unknown') {
      throw new DomainError('NOT_FOUND', { message: `${domain} is not a domain of ${slug}.` });
    }
    if (place === 'unproven') {
      const own = stackHost('dashboard', slug, this.deps.places.tenantDomain);
      throw new DomainError('WRONG_STATE', {
        message: `Nobody can sign in at ${domain} for now: that it is yours was not seen within a day, or its certificate has ended. The stack’s page says which record to set. Until then the dashboard is at ${own}.`,
        details: { why: 'domain_unproven', domain },
      });
    }
  }

  /** Portal sessions ended within the life of a sign-on; older ones have expired anyway. */
  async revocations(): Promise<Revocations> {
    const since = new Date(this.deps.now().getTime() - SESSION_TTL_SECONDS * 1_000);
    const rows = await this.deps.dataSource.manager
      .createQueryBuilder(SessionEntity, 'session')
      .select(['session.id', 'session.revokedAt'])
      .where('session.revokedAt > :since', { since })
      .getMany();
    return {
      revoked: rows.flatMap(({ id, revokedAt }) => (revokedAt ? [{ sid: id, at: revokedAt.toISOString() }] : [])),
    };
  }
}

/** A stack that is being destroyed or that somebody holds back is entered by nobody. */
async function requireOpen(db: Tx, { id, slug, desired }: TenantEntity): Promise<void> {
  const holds = await db.findBy(HoldEntity, { tenantId: id });
  if (desired === 'deleted') {
    throw new DomainError('WRONG_STATE', {
      message: `${slug} is being destroyed.`,
      details: { why: 'destroying', desired },
    });
  }
  if (isSuspended(holds.map(({ reason }) => reason))) {
    throw new DomainError('WRONG_STATE', {
      message: `${slug} is suspended.`,
      details: { why: 'suspended', holds: holds.map(({ reason }) => reason) },
    });
  }
}
