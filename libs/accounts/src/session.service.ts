import { appendAudit } from '#libs/audit';
import { DomainError, type Access, type Actor } from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import {
  AccountEntity,
  KnownDeviceEntity,
  newId,
  PlanEntity,
  RefreshTokenEntity,
  SessionEntity,
  tx,
  type Tx,
} from '#libs/db';
import { IsNull } from 'typeorm';
import { ACCESS_TTL_SECONDS, type AccessTokens } from './access-tokens.js';
import type { AccountDeps, Client } from './deps.js';
import { maySignIn } from './domain/account-states.js';
import { meView } from './views.js';

export const SESSION_SLIDE_SECONDS = 24 * 3600;
/** How long the device cookie is kept; a device not seen for this long is a stranger again. */
export const DEVICE_TTL_SECONDS = 180 * 86_400;
/**
 * Two tabs that refresh at the same moment send the same token. The second, within this time, gets an access token
 * and no refresh token: the browser has the first's answer in its cookie jar. So a thief who is this fast wins ten
 * minutes, never a session, and any later use of the token ends the session.
 */
export const RACE_GRACE_MS = 10_000;

export interface RefreshedSession {
  access: Access;
  /** For the refresh cookie; null when the cookie must stay as it is. */
  refreshToken: string | null;
  refreshMaxAgeSeconds: number;
}

export interface SignedInSession extends RefreshedSession {
  refreshToken: string;
  /** For the device cookie. */
  deviceToken: string;
  deviceMaxAgeSeconds: number;
}

export type Person = Extract<Actor, { accountId: string }>;
type Refreshed = RefreshedSession | { failed: 'TOKEN_INVALID' | 'TOKEN_EXPIRED' | 'TOKEN_REUSED' };

export class SessionService {
  constructor(
    private readonly deps: Pick<AccountDeps, 'database' | 'now'>,
    private readonly tokens: AccessTokens,
  ) {}

  /** Opens a session for a person whose password was right. A null `deviceToken` makes this a known device. */
  async open(inTx: Tx, account: AccountEntity, client: Client, deviceToken: string | null): Promise<SignedInSession> {
    const now = this.deps.now();
    const session: SessionEntity = {
      id: newId(),
      accountId: account.id,
      ip: client.ip,
      userAgent: client.userAgent?.slice(0, 300) ?? null,
      createdAt: now,
      lastUsedAt: now,
      expiresAt: new Date(now.getTime() + SESSION_SLIDE_SECONDS * 1000),
      revokedAt: null,
      revokeReason: null,
    };
    await inTx.insert(SessionEntity, session);
    const refreshToken = await this.newRefreshToken(inTx, session.id, now);
    const device = await this.rememberDevice(inTx, account.id, deviceToken, now);
    await appendAudit(inTx, {
      actor: person(account, session.id, client.ip),
      action: 'account.sign_in',
      target: { kind: 'account', id: account.id },
      after: { knownDevice: deviceToken !== null },
    });
    return {
      access: await this.accessFor(inTx, account, session.id, now),
      refreshToken,
      refreshMaxAgeSeconds: SESSION_SLIDE_SECONDS,
      deviceToken: device,
      deviceMaxAgeSeconds: DEVICE_TTL_SECONDS,
    };
  }

  /** Exchanges a refresh token for the next one. TOKEN_INVALID, TOKEN_EXPIRED, or TOKEN_REUSED (and the session ends). */
  async refresh(refreshToken: string, client: Client): Promise<RefreshedSession> {
    // Failing inside the transaction would undo the revocation, so the outcome leaves it as a value.
    const outcome = await tx(this.deps.database, (inTx) => this.rotate(inTx, refreshToken, client));
    if ('failed' in outcome) {
      throw new DomainError(outcome.failed);
    }
    return outcome;
  }

  private async rotate(inTx: Tx, refreshToken: string, client: Client): Promise<Refreshed> {
    const now = this.deps.now();
    const token = await inTx.getRepository(RefreshTokenEntity).findOneBy({ tokenHash: hashToken(refreshToken) });
    if (!token) {
      return { failed: 'TOKEN_INVALID' };
    }
    // All tokens of a session are exchanged one at a time.
    const session = await inTx
      .getRepository(SessionEntity)
      .findOneOrFail({ where: { id: token.sessionId }, lock: { mode: 'pessimistic_write' } });
    const current = await inTx.getRepository(RefreshTokenEntity).findOneByOrFail({ id: token.id });
    if (session.revokedAt) {
      return { failed: 'TOKEN_INVALID' };
    }
    if (session.expiresAt <= now) {
      return { failed: 'TOKEN_EXPIRED' };
    }
    const account = await inTx.getRepository(AccountEntity).findOneByOrFail({ id: session.accountId });
    if (!maySignIn(account.state)) {
      return { failed: 'TOKEN_INVALID' };
    }
    if (current.usedAt && now.getTime() - current.usedAt.getTime() > RACE_GRACE_MS) {
      await this.revoke(inTx, session.id, 'token_reused');
      await appendAudit(inTx, {
        actor: { kind: 'system', name: 'sessions' },
        action: 'session.token_reused',
        target: { kind: 'account', id: account.id },
        after: { sessionId: session.id },
        ip: client.ip,
      });
      return { failed: 'TOKEN_REUSED' };
    }
    const access = await this.accessFor(inTx, account, session.id, now);
    if (current.usedAt) {
      return { access, refreshToken: null, refreshMaxAgeSeconds: 0 };
    }
    await inTx.update(RefreshTokenEntity, { id: current.id }, { usedAt: now });
    await inTx.update(
      SessionEntity,
      { id: session.id },
      { lastUsedAt: now, expiresAt: new Date(now.getTime() + SESSION_SLIDE_SECONDS * 1000) },
    );
    return {
      access,
      refreshToken: await this.newRefreshToken(inTx, session.id, now),
      refreshMaxAgeSeconds: SESSION_SLIDE_SECONDS,
    };
  }

  /** Ends the session of a refresh token; a token that names none is fine, since then nobody is signed in. */
  async logout(refreshToken: string, client: Client): Promise<void> {
    await tx(this.deps.database, async (inTx) => {
      const token = await inTx.getRepository(RefreshTokenEntity).findOneBy({ tokenHash: hashToken(refreshToken) });
      if (!token || !(await this.revoke(inTx, token.sessionId, 'logout'))) {
        return;
      }
      const session = await inTx.getRepository(SessionEntity).findOneByOrFail({ id: token.sessionId });
      const account = await inTx.getRepository(AccountEntity).findOneByOrFail({ id: session.accountId });
      await appendAudit(inTx, {
        actor: person(account, session.id, client.ip),
        action: 'account.sign_out',
        target: { kind: 'account', id: account.id },
      });
    });
  }

  /**
   * Whom an access token names now, or null. Looks at the session and the account, so that signing out, reuse of a
   * refresh token and a ban end it at once instead of after ten minutes.
   */
  async signedIn(token: string, ip: string | null): Promise<{ actor: Person; expiresAt: Date } | null> {
    const now = this.deps.now();
    const claims = await this.tokens.verify(token, now);
    if (!claims) {
      return null;
    }
    const session = await this.deps.database
      .getRepository(SessionEntity)
      .findOneBy({ id: claims.sid, accountId: claims.sub, revokedAt: IsNull() });
    const account = session
      ? await this.deps.database.getRepository(AccountEntity).findOneBy({ id: claims.sub })
      : null;
    if (!session || !account || session.expiresAt <= now || !maySignIn(account.state)) {
      return null;
    }
    return { actor: person(account, session.id, ip), expiresAt: new Date(claims.exp * 1000) };
  }

  private async revoke(inTx: Tx, sessionId: string, reason: string): Promise<boolean> {
    const done = await inTx.update(
      SessionEntity,
      { id: sessionId, revokedAt: IsNull() },
      { revokedAt: this.deps.now(), revokeReason: reason },
    );
    return done.affected === 1;
  }

  private async newRefreshToken(inTx: Tx, sessionId: string, now: Date): Promise<string> {
    const token = randomToken();
    const row = { id: newId(), sessionId, tokenHash: hashToken(token), createdAt: now, usedAt: null };
    await inTx.insert(RefreshTokenEntity, row);
    return token;
  }

  private async rememberDevice(inTx: Tx, accountId: string, known: string | null, now: Date): Promise<string> {
    const token = known ?? randomToken();
    const tokenHash = hashToken(token);
    if (known) {
      await inTx.update(KnownDeviceEntity, { accountId, tokenHash }, { lastUsedAt: now });
    } else {
      await inTx.insert(KnownDeviceEntity, { id: newId(), accountId, tokenHash, createdAt: now, lastUsedAt: now });
    }
    return token;
  }

  private async accessFor(inTx: Tx, account: AccountEntity, sessionId: string, now: Date): Promise<Access> {
    const plan = await inTx.getRepository(PlanEntity).findOneByOrFail({ id: account.planId });
    const claims = { sub: account.id, sid: sessionId, name: account.username, role: account.role };
    return {
      accessToken: await this.tokens.issue(claims, now),
      expiresIn: ACCESS_TTL_SECONDS,
      me: meView(account, plan),
    };
  }
}

function person(account: AccountEntity, sessionId: string | null, ip: string | null): Person {
  return { kind: account.role, accountId: account.id, username: account.username, via: 'portal', ip, sessionId };
}
