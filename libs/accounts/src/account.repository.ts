import { DomainError, type AccountState, type Role } from '#libs/contracts';
import { AccountEntity, newId, PlanEntity, violatedUnique, type Tx } from '#libs/db';
import { mayMove } from './domain/account-states.js';

export const FIRST_PLAN = 'free';

export interface NewAccount {
  email: string;
  username: string;
  passwordHash: string;
  role: Role;
  state: AccountState;
  now: Date;
}

/** Throws EMAIL_TAKEN or USERNAME_TAKEN; the database decides, so two at once cannot both win. */
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

/** Moves an account by compare-and-set. WRONG_STATE when the table forbids it, LOST_RACE when it was moved meanwhile. */
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
  const moved = await tx.update(AccountEntity, { id: account.id, state: account.state }, { ...also, state: to });
  if (moved.affected !== 1) {
    throw new DomainError('LOST_RACE', { details: { account: account.id } });
  }
}

/** By e-mail address or user name, both lower case. A user name holds no @, so one name never means two accounts. */
export async function findByIdentifier(tx: Tx, identifier: string): Promise<AccountEntity | null> {
  const name = identifier.trim().toLowerCase();
  return tx.getRepository(AccountEntity).findOneBy(name.includes('@') ? { email: name } : { username: name });
}
