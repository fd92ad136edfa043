import { appendAudit } from '#libs/audit';
import { DomainError, type Actor, type Me, type Register } from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import { AccountEntity, DisclaimerAcceptanceEntity, MailTokenEntity, newId, PlanEntity, tx, type Tx } from '#libs/db';
import { IsNull } from 'typeorm';
import { insertAccount, moveAccount } from './account.repository.js';
import type { AccountDeps, Client } from './deps.js';
import { currentDisclaimer } from './disclaimers/current.js';
import { meView } from './views.js';

export const VERIFY_TTL_MS = 24 * 3_600_000;
/** A second mail within this time is not sent: a stranger could fill somebody's inbox otherwise. */
const RESEND_AFTER_MS = 60_000;
const DAY_MS = 86_400_000;

const asSelf = (account: AccountEntity, client: Client): Actor => ({
  kind: account.role,
  accountId: account.id,
  username: account.username,
  via: 'portal',
  ip: client.ip,
  sessionId: null,
});

export class RegistrationService {
  constructor(private readonly deps: AccountDeps) {}

  /** Makes a `pending` account and mails the link. DISCLAIMER_REQUIRED unless the version accepted is the current one. */
  async register(input: Register, client: Client): Promise<Me> {
    const disclaimer = currentDisclaimer();
    if (input.disclaimerVersion !== disclaimer.version) {
      throw new DomainError('DISCLAIMER_REQUIRED', { details: { current: disclaimer.version } });
    }
    const passwordHash = await this.deps.passwords.hash(input.password);
    const now = this.deps.now();
    return tx(this.deps.database, async (inTx) => {
      const account = await insertAccount(inTx, {
        email: input.email,
        username: input.username,
        passwordHash,
        role: 'subscriber',
        state: 'pending',
        now,
      });
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
      await this.mailLink(inTx, account, now);
      return meView(account, await this.planOf(inTx, account));
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
      await moveAccount(inTx, account, 'active', change);
      // Links mailed before or after this one are of no use any more.
      await inTx.update(MailTokenEntity, { accountId: account.id, usedAt: IsNull() }, { usedAt: now });
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
      const account = await inTx
        .getRepository(AccountEntity)
        .findOne({ where: { email, state: 'pending' }, lock: { mode: 'pessimistic_write' } });
      if (!account) {
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
