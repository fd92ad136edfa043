import { DeadlineError } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { isDatabaseAway } from './errors.js';

const coded = (code: string): Error => Object.assign(new Error('said by the driver'), { code });

describe('a database that is away', () => {
  it.each(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EHOSTUNREACH', '08006', '57P01', '57P03', '53300'])(
    'is known by %s, also below what it was wrapped in',
    (code) => {
      expect(isDatabaseAway(coded(code))).toBe(true);
      expect(isDatabaseAway(Object.assign(new Error('query failed'), { driverError: coded(code) }))).toBe(true);
      expect(isDatabaseAway(new Error('of the pool', { cause: coded(code) }))).toBe(true);
      // As Node says it of a name with two addresses.
      expect(isDatabaseAway(new AggregateError([new Error('the first'), coded(code)]))).toBe(true);
    },
  );

  it.each([
    'Connection terminated unexpectedly',
    'timeout exceeded when trying to connect',
    'timeout expired',
    'Connection terminated due to connection timeout',
  ])('is known by the words of the driver, which have no code: %s', (words) => {
    expect(isDatabaseAway(new Error(words))).toBe(true);
  });

  it('is not what a statement did wrong, nor anything that is no error', () => {
    expect(['42703', '23505', '40001', '57014'].filter((code) => isDatabaseAway(coded(code)))).toEqual([]);
    expect([undefined, null, 'ECONNREFUSED', 7].filter(isDatabaseAway)).toEqual([]);
  });

  it('is not the one of a stack, whose absence has a name by then; a deadline knows nothing', () => {
    const refused = new DeadlineError('an answer', 1_000, coded('ECONNREFUSED'));
    expect(isDatabaseAway(new DomainError('HEALTH_GATE_FAILED', { cause: refused }))).toBe(false);
    expect(isDatabaseAway(new DomainError('ENGINE_UNREACHABLE', { cause: coded('ECONNRESET') }))).toBe(false);
    expect(
      isDatabaseAway(
        new DomainError('DEADLINE_EXCEEDED', { cause: new DomainError('ENGINE_UNREACHABLE', { cause: refused }) }),
      ),
    ).toBe(false);
    expect(isDatabaseAway(new DomainError('DEADLINE_EXCEEDED', { cause: refused }))).toBe(true);
  });
});
