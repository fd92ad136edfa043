import { appendAudit } from '#libs/audit';
import { DomainError, isDomainError, type Actor, type Me, type Register } from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import {
  AccountEntity,
  DisclaimerAcceptanceEntity,
  MailTokenEntity,
  newId,
  PlanEntity,
  SignUpEntity,
  tx,
  violatedUnique,
  type Tx,
} from '#libs/db';
import { In, IsNull, LessThan, MoreThan } from 'typeorm';
import { findNamed, insertAccount, moveAccount } from './account.repository.js';
import type { AccountDeps, Client } from './deps.js';
import { currentDisclaimer } from './disclaimers/current.js';
import { meView } from './views.js';

export const VERIFY_TTL_MS = 24 * 3_600_000;
/** A second mail within this time is not sent: a stranger could fill somebody's inbox otherwise. */
const RESEND_AFTER_MS = 60_000;
const DAY_MS = 86_400_000;
/** As long as a client may reasonably repeat a sign-up under one Idempotency-Key. */
export const SIGN_UP_KEY_MS = DAY_MS;

const asSelf = (account: AccountEntity, client: Client): Actor => ({
  kind: account.role,
  accountId: account.id,
  username: account.username,
  via: 'portal',
  ip: client.ip,
  sessionId: null,
});

/** Without the password: a fast hash of it would be the weakest copy there is. */
function requestHash({ email, username, disclaimerVersion }: Register): string {
  return hashToken(JSON.stringify([email, username, disclaimerVersion]));
}

export class RegistrationService {
  constructor(private readonly deps: AccountDeps) {}

  /**
   * Makes a `pending` account and mails the link. An address that has an account is answered no otherwise, so nobody
   * learns whose addresses are known here; its owner gets a mail that says so. The same `key` and input again give the
   * same account. DISCLAIMER_REQUIRED unless the version accepted is the current one; USERNAME_TAKEN;
   * IDEMPOTENCY_KEY_REUSED.
   */
  async register(input: Register, client: Client, key: string | null = null): Promise<{ me: Me; replayed: boolean }> {
    const disclaimer = currentDisclaimer();
    if (input.disclaimerVersion !== disclaimer.version) {
      throw new DomainError('DISCLAIMER_REQUIRED', { details: { current: disclaimer.version } });
    }
    const passwordHash = await this.deps.passwords.hash(input.password);
    const now = this.deps.now();
    return tx(this.deps.database, async (inTx) => {
      // Sign-ups with one address go one by one, so that each sees what the one before it mailed.
      await inTx.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`sign-up/${input.email}`]);
      const before = key === null ? null : await this.earlier(inTx, key, input, now);
      if (before) {
        return { me: meView(before, await this.planOf(inTx, before)), replayed: true };
      }
      const { confirmed } = await findNamed(inTx, input.email);
      const mailedLately = await inTx.existsBy(AccountEntity, {
        email: input.email,
        createdAt: MoreThan(new Date(now.getTime() - RESEND_AFTER_MS)),
      });
      const account = await insertAccount(inTx, {
        email: input.email,
        username: input.username,
        passwordHash,
        role: 'subscriber',
        state: 'pending',
        now,
      });
      if (key !== null) {
        await this.remember(inTx, key, input, account);
      }
      await inTx.insert(DisclaimerAcceptanceEntity, {
        id: newId(),
        accountId: account.id,
        version: disclaimer.version,
        sha256: disclaimer.sha256,
        acceptedAt: now,
        ip: client.ip,
      });
      const actor = asSelf(account, client);
      const target = { kind: 'account', id: account.id };
      await appendAudit(inTx, {
        actor,
        action: 'account.register',
        target,
        after: { email: account.email, username: account.username, state: account.state },
      });
      await appendAudit(inTx, {
        actor,
        action: 'disclaimer.accept',
        target,
        after: { version: disclaimer.version, sha256: disclaimer.sha256 },
      });
      if (!mailedLately && confirmed) {
        await this.deps.mails.addressTaken(inTx, { to: confirmed.email, username: confirmed.username });
      } else if (!mailedLately) {
        await this.mailLink(inTx, account, now);
      }
      return { me: meView(account, await this.planOf(inTx, account)), replayed: false };
    });
  }

  /** Turns a mailed link into a verified account and starts the trial. TOKEN_INVALID or TOKEN_EXPIRED; good once. */
  async verifyEmail(token: string, client: Client): Promise<Me> {
    const now = this.deps.now();
    return tx(this.deps.database, async (inTx) => {
      const row = await inTx
        .getRepository(MailTokenEntity)
        .findOneBy({ tokenHash: hashToken(token), kind: 'verify_email' });
      if (!row || row.usedAt) {
        throw new DomainError('TOKEN_INVALID');
      }
      if (row.expiresAt <= now) {
        throw new DomainError('TOKEN_EXPIRED');
      }
      const used = await inTx.update(MailTokenEntity, { id: row.id, usedAt: IsNull() }, { usedAt: now });
      if (used.affected !== 1) {
        throw new DomainError('TOKEN_INVALID');
      }
      const account = await inTx.getRepository(AccountEntity).findOneByOrFail({ id: row.accountId });
      const plan = await this.planOf(inTx, account);
      const change = {
        emailVerifiedAt: now,
        trialEndsAt: new Date(now.getTime() + plan.trialDays * DAY_MS),
        updatedAt: now,
      };
      await moveAccount(inTx, account, 'active', change).catch((error: unknown) => {
        throw isDomainError(error, 'EMAIL_TAKEN')
          ? new DomainError('TOKEN_INVALID', {
              message: 'This address was confirmed for another account meanwhile. Sign in to that one.',
              cause: error,
            })
          : error;
      });
      // Links mailed before or after this one are of no use any more, nor those of other sign-ups with this address.
      const same = await inTx.find(AccountEntity, { where: { email: account.email }, select: { id: true } });
      await inTx.update(
        MailTokenEntity,
        { accountId: In(same.map(({ id }) => id)), usedAt: IsNull() },
        { usedAt: now },
      );
      await appendAudit(inTx, {
        actor: asSelf(account, client),
        action: 'account.verify',
        target: { kind: 'account', id: account.id },
        before: { state: account.state },
        after: { state: 'active', trialEndsAt: change.trialEndsAt },
      });
      return meView(Object.assign(account, change, { state: 'active' as const }), plan);
    });
  }

  /** Mails a new link if the address waits for one. The answer is the same for every address, so it tells nothing. */
  async resend(email: string, client: Client): Promise<void> {
    const now = this.deps.now();
    await tx(this.deps.database, async (inTx) => {
      await inTx.query('select from accounts where email = $1 for update', [email]);
      const { confirmed, waiting: account } = await findNamed(inTx, email);
      if (confirmed || !account) {
        return;
      }
      const [newest] = await inTx
        .getRepository(MailTokenEntity)
        .find({ where: { accountId: account.id }, order: { createdAt: 'DESC' }, take: 1 });
      if (newest && now.getTime() - newest.createdAt.getTime() < RESEND_AFTER_MS) {
        return;
      }
      await this.mailLink(inTx, account, now);
      await appendAudit(inTx, {
        actor: asSelf(account, client),
        action: 'account.resend_verification',
        target: { kind: 'account', id: account.id },
      });
    });
  }

  /** The account an earlier sign-up under this key made, or null. */
  private async earlier(inTx: Tx, key: string, input: Register, now: Date): Promise<AccountEntity | null> {
    const keyHash = hashToken(key);
    await inTx.delete(SignUpEntity, { keyHash, createdAt: LessThan(new Date(now.getTime() - SIGN_UP_KEY_MS)) });
    const row = await inTx.findOneBy(SignUpEntity, { keyHash });
    if (!row) {
      return null;
    }
    const account = await inTx.findOneByOrFail(AccountEntity, { id: row.accountId });
    const same =
      row.requestHash === requestHash(input) &&
      (await this.deps.passwords.matches(input.password, account.passwordHash));
    if (!same) {
      throw new DomainError('IDEMPOTENCY_KEY_REUSED');
    }
    return account;
  }

  private async remember(inTx: Tx, key: string, input: Register, account: AccountEntity): Promise<void> {
    try {
      await inTx.insert(SignUpEntity, {
        keyHash: hashToken(key),
        requestHash: requestHash(input),
        accountId: account.id,
        createdAt: account.createdAt,
      });
    } catch (error) {
      // The same request waited for its address; so this one is another, sent at the same moment.
      throw violatedUnique(error) === 'pk_sign_ups'
        ? new DomainError('IDEMPOTENCY_KEY_REUSED', { cause: error })
        : error;
    }
  }

  private async mailLink(inTx: Tx, account: AccountEntity, now: Date): Promise<void> {
    const token = randomToken();
    const expiresAt = new Date(now.getTime() + VERIFY_TTL_MS);
    await inTx.insert(MailTokenEntity, {
      id: newId(),
      accountId: account.id,
      kind: 'verify_email',
      tokenHash: hashToken(token),
      createdAt: now,
      expiresAt,
      usedAt: null,
    });
    await this.deps.mails.verifyEmail(inTx, { to: account.email, username: account.username, token, expiresAt });
  }

  private planOf(inTx: Tx, account: AccountEntity): Promise<PlanEntity> {
    return inTx.getRepository(PlanEntity).findOneByOrFail({ id: account.planId });
  }
}
