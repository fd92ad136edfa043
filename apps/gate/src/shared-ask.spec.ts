import { allowance, shared } from './shared-ask.js';

describe('an allowance', () => {
  it('gives each key so many at once and then so many a second, never more for waiting longer', () => {
    let at = 0;
    const allows = allowance({ atOnce: 3, perSecond: 2 }, () => at);
    const given = (key: string, tries = 10): number =>
      Array.from({ length: tries }, () => allows(key)).filter(Boolean).length;
    expect(given('a')).toBe(3);
    expect(given('b')).toBe(3);
    at = 499;
    expect(given('a')).toBe(0);
    at = 500;
    expect(given('a')).toBe(1);
    // Asking for more than is given does not put the next one off.
    for (at = 501; at < 1_000; at += 1) {
      expect(allows('a')).toBe(false);
    }
    expect(given('a')).toBe(1);
    at = 3_600_000;
    expect(given('a')).toBe(3);
  });
});

describe('a shared question', () => {
  it('is asked once for all, and anew once its answer is old', async () => {
    let at = 0;
    const asked: string[] = [];
    const ask = shared(
      (question: string) => {
        asked.push(question);
        return Promise.resolve(asked.length);
      },
      { keyOf: (question) => question, now: () => at },
    );
    expect(await Promise.all([ask('x'), ask('x'), ask('y'), ask('x')])).toEqual([1, 1, 2, 1]);
    at = 1_499;
    expect(await ask('x')).toBe(1);
    at = 1_500;
    expect([await ask('x'), await ask('y'), await ask('x')]).toEqual([3, 4, 3]);
  });

  it('that is not admitted is not asked, and does not stand in the way of an answer there is', async () => {
    let admits = true;
    const ask = shared((question: string) => Promise.resolve(question), {
      keyOf: (question) => question,
      admits: () => admits,
      now: () => 0,
    });
    expect(await ask('x')).toBe('x');
    admits = false;
    expect(await ask('x')).toBe('x');
    await expect(ask('y')).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    admits = true;
    expect(await ask('y')).toBe('y');
  });
});
