import { appendAudit } from '#libs/audit';
import { DomainError, type Login } from '#libs/contracts';
import { hashToken } from '#libs/crypto';
import { AccountEntity, KnownDeviceEntity, newId, SignInGuardEntity, tx, type Tx } from '#libs/db';
import { findByIdentifier } from './account.repository.js';
import type { AccountDeps, Client } from './deps.js';
import { maySignIn } from './domain/account-states.js';
import { countAttempt, lockAfterFailure } from './domain/sign-in-guard.js';
import { lockNetwork } from './network.js';
import type { SessionService, SignedInSession } from './session.service.js';

interface Guarded {
  account: AccountEntity | null;
  deviceId: string | null;
  subject: string;
  scope: string;
}

export class SignInService {
  constructor(
    private readonly deps: AccountDeps,
    private readonly sessions: SessionService,
  ) {
    void deps.passwords.warm();
  }

  /**
   * `deviceToken` is what the device cookie holds. Wrong pair: INVALID_CREDENTIALS, the same for unknown users.
   * After five of them ACCOUNT_LOCKED with `retryAfterSeconds`, for that account and network; a known device has a
   * count of its own, so nobody else can lock it out. The right pair of an account that may not: EMAIL_NOT_VERIFIED or
   * ACCOUNT_NOT_ACTIVE.
   */
  async login(input: Login, client: Client, deviceToken: string | null): Promise<SignedInSession> {
    const attempt = await tx(this.deps.database, (inTx) => this.count(inTx, input.identifier, client, deviceToken));
    if (attempt.lockedUntil) {
      throw this.locked(attempt.lockedUntil);
    }
    const { guarded } = attempt;
    const right = await this.deps.passwords.matches(input.password, guarded.account?.passwordHash ?? null);
    if (!right || !guarded.account) {
      await tx(this.deps.database, (inTx) => this.failed(inTx, guarded, client));
      throw new DomainError('INVALID_CREDENTIALS');
    }
    const { account } = guarded;
    // A refusal leaves the transaction as a value: thrown inside, it would also undo the reset of the count.
    const outcome = await tx(this.deps.database, async (inTx) => {
      await inTx.delete(SignInGuardEntity, { subject: guarded.subject, scope: guarded.scope });
      // The password took a while to check: what the account is now decides.
      const fresh = await inTx.getRepository(AccountEntity).findOneByOrFail({ id: account.id });
      if (fresh.state === 'pending') {
        return new DomainError('EMAIL_NOT_VERIFIED');
      }
      if (!maySignIn(fresh.state)) {
        return new DomainError('ACCOUNT_NOT_ACTIVE', { details: { state: fresh.state } });
      }
      return this.sessions.open(inTx, fresh, client, guarded.deviceId ? deviceToken : null);
    });
    if (outcome instanceof DomainError) {
      throw outcome;
    }
    return outcome;
  }

  private async count(
    inTx: Tx,
    identifier: string,
    client: Client,
    deviceToken: string | null,
  ): Promise<{ guarded: Guarded; lockedUntil: Date | null }> {
    const now = this.deps.now();
    const account = await findByIdentifier(inTx, identifier);
    const device =
      account && deviceToken
        ? await inTx
            .getRepository(KnownDeviceEntity)
            .findOneBy({ accountId: account.id, tokenHash: hashToken(deviceToken) })
        : null;
    const subject = account?.id ?? `name:${hashToken(identifier.trim().toLowerCase())}`;
    const scope = device ? `dev:${device.id}` : `net:${lockNetwork(client.ip)}`;
    const guarded: Guarded = { account, deviceId: device?.id ?? null, subject, scope };
    // Makes the row if there is none and locks it either way, so that attempts at the same time count one by one.
    await inTx
      .createQueryBuilder()
      .insert()
      .into(SignInGuardEntity)
      .values({ id: newId(), subject, scope, failures: 0, lockedUntil: null, updatedAt: now })
      .orIgnore()
      .execute();
    const row = await inTx
      .getRepository(SignInGuardEntity)
      .findOneOrFail({ where: { subject, scope }, lock: { mode: 'pessimistic_write' } });
    const attempt = countAttempt(row, now);
    await inTx.update(SignInGuardEntity, { id: row.id }, attempt.next);
    return { guarded, lockedUntil: attempt.allowed ? null : attempt.lockedUntil };
  }

  private async failed(inTx: Tx, guarded: Guarded, client: Client): Promise<void> {
    const now = this.deps.now();
    const { subject, scope, account } = guarded;
    const row = await inTx
      .getRepository(SignInGuardEntity)
      .findOne({ where: { subject, scope }, lock: { mode: 'pessimistic_write' } });
    const lockedUntil = row && !row.lockedUntil ? lockAfterFailure(row.failures, now) : null;
    if (!row || !lockedUntil) {
      return;
    }
    await inTx.update(SignInGuardEntity, { id: row.id }, { lockedUntil });
    if (account) {
      await appendAudit(inTx, {
        actor: { kind: 'system', name: 'sign-in' },
        action: 'account.lock',
        target: { kind: 'account', id: account.id },
        after: { scope, lockedUntil },
        ip: client.ip,
      });
    }
  }

  private locked(until: Date): DomainError {
    const retryAfterSeconds = Math.max(1, Math.ceil((until.getTime() - this.deps.now().getTime()) / 1000));
    const minutes = Math.ceil(retryAfterSeconds / 60);
    return new DomainError('ACCOUNT_LOCKED', {
      message: `Too many failed sign-ins. Try again in ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}.`,
      details: { retryAfterSeconds },
    });
  }
}
