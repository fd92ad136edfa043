import { activitySchema } from './stack-spec.js';

describe('what a runtime says of its activity', () => {
  it('needs no tokens: a runtime of an older release tells none, and goes to sleep all the same', () => {
    expect(activitySchema.parse({ runningBots: 0, openOrders: 0 })).toEqual({
      runningBots: 0,
      openOrders: 0,
      tokens: [],
    });
  });

  it('is no answer where it names more tokens than a stack can have, or anything but digests', () => {
    const token = { digest: 'a'.repeat(43), expiresAt: '2030-01-01T00:00:00.000Z' };
    const answer = (tokens: unknown) => activitySchema.safeParse({ runningBots: 0, openOrders: 0, tokens }).success;
    expect(answer(Array.from({ length: 20 }, () => token))).toBe(true);
    expect(answer(Array.from({ length: 21 }, () => token))).toBe(false);
    expect(answer([{ ...token, digest: `avt_${'a'.repeat(43)}` }])).toBe(false);
    expect(answer([{ ...token, expiresAt: 'never' }])).toBe(false);
  });
});
