import { ACCOUNT_STATES, SIGN_IN_STATES, type AccountState } from '#libs/contracts';

/** Every legal move of an account. `banned` and `rejected` are left by an operator's decision only. */
export const ACCOUNT_MOVES: Readonly<Record<AccountState, readonly AccountState[]>> = {
  pending: ['active', 'pending_api', 'banned'],
  pending_api: ['active', 'pending_approval', 'banned'],
  pending_approval: ['active', 'rejected', 'banned'],
  rejected: ['pending_approval', 'active', 'banned'],
  active: ['suspended', 'banned'],
  suspended: ['active', 'banned'],
  banned: ['suspended'],
};

/** Throws when a table names an unknown state, moves a state to itself, or has one nothing leads to. */
export function checkMoves(moves: Readonly<Record<string, readonly string[]>>, start: string): void {
  const states = Object.keys(moves);
  const reached = new Set([start]);
  for (const state of reached) {
    for (const next of moves[state] ?? []) {
      if (!states.includes(next) || next === state) {
        throw new Error(`Account state ${state} cannot move to ${next}`);
      }
      reached.add(next);
    }
  }
  const lost = states.filter((state) => !reached.has(state));
  if (lost.length > 0) {
    throw new Error(`No move leads to the account state ${lost.join(', ')}`);
  }
}

checkMoves(ACCOUNT_MOVES, ACCOUNT_STATES[0]);

export function mayMove(from: AccountState, to: AccountState): boolean {
  return ACCOUNT_MOVES[from].includes(to);
}

export function maySignIn(state: AccountState): boolean {
  return SIGN_IN_STATES.includes(state);
}
