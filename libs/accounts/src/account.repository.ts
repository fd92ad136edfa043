import { DomainError, type AccountState, type Role } from '#libs/contracts';
import { AccountEntity, newId, PlanEntity, SessionEntity, violatedUnique, type Tx } from '#libs/db';
import { IsNull, Not } from 'typeorm';
import { mayMove, maySignIn } from './domain/account-states.js';

export const FIRST_PLAN = 'free';

export interface NewAccount {
  email: string;
  username: string;
  passwordHash: string;
  role: Role;
  state: AccountState;
  now: Date;
}

/**
 * Throws USERNAME_TAKEN, or EMAIL_TAKEN where the account is not `pending`: until somebody confirms an address, anybody
 * may name it. The database decides, so two at once cannot both win.
 */
export async function insertAccount(tx: Tx, account: NewAccount): Promise<AccountEntity> {
  const { now, ...given } = account;
  const plan = await tx.getRepository(PlanEntity).findOneByOrFail({ code: FIRST_PLAN });
  const row: AccountEntity = {
    ...given,
    id: newId(),
    planId: plan.id,
    emailVerifiedAt: null,
    trialEndsAt: null,
    createdAt: now,
    updatedAt: now,
  };
  try {
    await tx.insert(AccountEntity, row);
  } catch (error) {
    const constraint = violatedUnique(error);
    if (constraint === 'uq_accounts_email') {
      throw new DomainError('EMAIL_TAKEN', { details: { field: 'email' }, cause: error });
    }
    if (constraint === 'uq_accounts_username') {
      throw new DomainError('USERNAME_TAKEN', { details: { field: 'username' }, cause: error });
    }
    throw error;
  }
  return row;
}

/**
 * Moves an account by compare-and-set, and ends its sessions when it may not have any in its new state. WRONG_STATE when
 * the table forbids it, LOST_RACE when it was moved meanwhile, EMAIL_TAKEN when its address is another account's by now.
 */
export async function moveAccount(
  tx: Tx,
  account: Pick<AccountEntity, 'id' | 'state'>,
  to: AccountState,
  also: Partial<Pick<AccountEntity, 'emailVerifiedAt' | 'trialEndsAt'>> & { updatedAt: Date },
): Promise<void> {
  if (!mayMove(account.state, to)) {
    throw new DomainError('WRONG_STATE', {
      message: `An account that is ${account.state} cannot become ${to}.`,
      details: { from: account.state, to },
    });
  }
  const moved = await tx
    .update(AccountEntity, { id: account.id, state: account.state }, { ...also, state: to })
    .catch((error: unknown) => {
      throw violatedUnique(error) === 'uq_accounts_email' ? new DomainError('EMAIL_TAKEN', { cause: error }) : error;
    });
  if (moved.affected !== 1) {
    throw new DomainError('LOST_RACE', { details: { account: account.id } });
  }
  if (!maySignIn(to)) {
    await tx.update(
      SessionEntity,
      { accountId: account.id, revokedAt: IsNull() },
      { revokedAt: also.updatedAt, revokeReason: 'account_state' },
    );
  }
}

/** Who an address or user name may mean. Of sign-ups that wait with the same address, only the newest counts. */
export interface Named {
  confirmed: AccountEntity | null;
  waiting: AccountEntity | null;
}

/** By e-mail address or user name, in any case. A user name holds no @, so one name never means both. */
export async function findNamed(tx: Tx, identifier: string): Promise<Named> {
  const name = identifier.trim().toLowerCase();
  const where = name.includes('@') ? { email: name } : { username: name };
  const accounts = tx.getRepository(AccountEntity);
  return {
    confirmed: await accounts.findOneBy({ ...where, state: Not('pending') }),
    waiting: await accounts.findOne({
      where: { ...where, state: 'pending' },
      order: { createdAt: 'DESC', id: 'DESC' },
    }),
  };
}

/** The one account a name means: whose address it is, else the newest sign-up that waits with it. */
export async function findByIdentifier(tx: Tx, identifier: string): Promise<AccountEntity | null> {
  const { confirmed, waiting } = await findNamed(tx, identifier);
  return confirmed ?? waiting;
}
