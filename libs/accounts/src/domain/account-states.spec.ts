import { ACCOUNT_STATES } from '#libs/contracts';
import { ACCOUNT_MOVES, checkMoves, mayMove, maySignIn } from './account-states.js';

describe('account states', () => {
  it('have a row for each state of the contract', () => {
    expect(Object.keys(ACCOUNT_MOVES).sort()).toEqual([...ACCOUNT_STATES].sort());
  });

  it('allow what the table says and nothing else', () => {
    expect(mayMove('pending', 'active')).toBe(true);
    expect(mayMove('active', 'pending')).toBe(false);
    expect(mayMove('banned', 'active')).toBe(false);
    expect(mayMove('active', 'active')).toBe(false);
  });

  it('are refused when a move leads nowhere known, to itself, or a state is out of reach', () => {
    expect(() => checkMoves({ a: ['b'] }, 'a')).toThrow('a cannot move to b');
    expect(() => checkMoves({ a: ['a'] }, 'a')).toThrow('a cannot move to a');
    expect(() => checkMoves({ a: [], b: [] }, 'a')).toThrow('No move leads to the account state b');
  });

  it('let a suspended customer sign in, and a pending, rejected or banned one not', () => {
    expect(ACCOUNT_STATES.filter(maySignIn)).toEqual(['pending_api', 'pending_approval', 'active', 'suspended']);
  });
});
