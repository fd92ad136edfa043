import { appendAudit } from '#libs/audit';
import { DomainError, type Login } from '#libs/contracts';
import { hashToken } from '#libs/crypto';
import { AccountEntity, KnownDeviceEntity, newId, SignInGuardEntity, tx, type Tx } from '#libs/db';
import { In } from 'typeorm';
import { findNamed, type Named } from './account.repository.js';
import type { AccountDeps, Client } from './deps.js';
import { maySignIn } from './domain/account-states.js';
import { countAttempt, lockAfterFailure } from './domain/sign-in-guard.js';
import { lockNetwork } from './network.js';
import type { SessionService, SignedInSession } from './session.service.js';

interface Guarded extends Named {
  deviceId: string | null;
  /** What is counted and locked: the account's id, and the address as it was typed or the name nobody has. */
  subjects: readonly string[];
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
    const { confirmed, waiting } = guarded;
    // Both, always: what an address has here must not be told by how long the answer takes.
    const [right, rightOfWaiting] = await Promise.all(
      [confirmed, waiting].map((one) => this.deps.passwords.matches(input.password, one?.passwordHash ?? null)),
    );
    if (confirmed && right) {
      return this.open(guarded, confirmed, client, deviceToken);
    }
    if (waiting && rightOfWaiting) {
      // Not a failure; but neither does it wipe out failures, since anybody can sign up with somebody's address.
      await tx(this.deps.database, (inTx) => this.uncount(inTx, guarded));
      throw new DomainError('EMAIL_NOT_VERIFIED');
    }
    await tx(this.deps.database, (inTx) => this.failed(inTx, guarded, client));
    throw new DomainError('INVALID_CREDENTIALS');
  }

  /**
   * Whether who has this session also knows its password, for what a stolen one must not do. Counted and locked like a
   * sign-in, with which it shares the count. Throws INVALID_CREDENTIALS and ACCOUNT_LOCKED.
   */
  async confirm(
    { username }: { username: string },
    password: string,
    client: Client,
    deviceToken: string | null,
  ): Promise<void> {
    const { guarded, lockedUntil } = await tx(this.deps.database, (inTx) =>
      this.count(inTx, username, client, deviceToken),
    );
    if (lockedUntil) {
      throw this.locked(lockedUntil);
    }
    if (!(await this.deps.passwords.matches(password, guarded.confirmed?.passwordHash ?? null))) {
      await tx(this.deps.database, (inTx) => this.failed(inTx, guarded, client));
      throw new DomainError('INVALID_CREDENTIALS', { message: 'This is not the password of your account.' });
    }
    await this.deps.database.manager.delete(SignInGuardEntity, {
      subject: In([...guarded.subjects]),
      scope: guarded.scope,
    });
  }

  private async open(
    guarded: Guarded,
    account: AccountEntity,
    client: Client,
    deviceToken: string | null,
  ): Promise<SignedInSession> {
    // A refusal leaves the transaction as a value: thrown inside, it would also undo the reset of the count.
    const outcome = await tx(this.deps.database, async (inTx) => {
      await inTx.delete(SignInGuardEntity, { subject: In([...guarded.subjects]), scope: guarded.scope });
      // The password took a while to check: what the account is now decides.
      const fresh = await inTx.getRepository(AccountEntity).findOneByOrFail({ id: account.id });
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
    const named = await findNamed(inTx, identifier);
    const device =
      named.confirmed && deviceToken
        ? await inTx
            .getRepository(KnownDeviceEntity)
            .findOneBy({ accountId: named.confirmed.id, tokenHash: hashToken(deviceToken) })
        : null;
    const scope = device ? `dev:${device.id}` : `net:${lockNetwork(client.ip)}`;
    const guarded = { ...named, deviceId: device?.id ?? null, subjects: subjectsOf(identifier, named), scope };
    const guards = await this.lockGuards(inTx, guarded, now);
    const attempts = guards.map((guard) => ({ guard, attempt: countAttempt(guard, now) }));
    for (const { guard, attempt } of attempts) {
      await inTx.update(SignInGuardEntity, { id: guard.id }, attempt.next);
    }
    const ends = attempts.flatMap(({ attempt }) => (attempt.allowed ? [] : [attempt.lockedUntil.getTime()]));
    return { guarded, lockedUntil: ends.length > 0 ? new Date(Math.max(...ends)) : null };
  }

  /** Makes the rows that are not there and locks all of them, so that attempts at the same time count one by one. */
  private async lockGuards(inTx: Tx, { subjects, scope }: Guarded, now: Date): Promise<SignInGuardEntity[]> {
    const guards = [];
    // In one order everywhere, or two sign-ins could wait for each other.
    for (const subject of subjects.toSorted()) {
      await inTx
        .createQueryBuilder()
        .insert()
        .into(SignInGuardEntity)
        .values({ id: newId(), subject, scope, failures: 0, lockedUntil: null, updatedAt: now })
        .orIgnore()
        .execute();
      guards.push(
        await inTx
          .getRepository(SignInGuardEntity)
          .findOneOrFail({ where: { subject, scope }, lock: { mode: 'pessimistic_write' } }),
      );
    }
    return guards;
  }

  private async uncount(inTx: Tx, guarded: Guarded): Promise<void> {
    for (const { id, failures } of await this.lockGuards(inTx, guarded, this.deps.now())) {
      await inTx.update(SignInGuardEntity, { id }, { failures: Math.max(0, failures - 1) });
    }
  }

  private async failed(inTx: Tx, guarded: Guarded, client: Client): Promise<void> {
    const now = this.deps.now();
    for (const guard of await this.lockGuards(inTx, guarded, now)) {
      const lockedUntil = guard.lockedUntil ? null : lockAfterFailure(guard.failures, now);
      if (!lockedUntil) {
        continue;
      }
      await inTx.update(SignInGuardEntity, { id: guard.id }, { lockedUntil });
      if (guard.subject === guarded.confirmed?.id || guard.subject === guarded.waiting?.id) {
        await appendAudit(inTx, {
          actor: { kind: 'system', name: 'sign-in' },
          action: 'account.lock',
          target: { kind: 'account', id: guard.subject },
          after: { scope: guard.scope, lockedUntil },
          ip: client.ip,
        });
      }
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

/**
 * An address is counted by itself as well as by its accounts, since signing up with it makes a new one, and a user name
 * only where nobody has it: what locks, and when, is then the same whether an address has an account or not.
 */
function subjectsOf(identifier: string, { confirmed, waiting }: Named): string[] {
  const name = identifier.trim().toLowerCase();
  const accounts = [confirmed, waiting].flatMap((account) => (account ? [account.id] : []));
  return name.includes('@') || accounts.length === 0 ? [`name:${hashToken(name)}`, ...accounts] : accounts;
}
