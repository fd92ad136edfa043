import { DomainError } from '#libs/contracts';
import type { CertificateReport } from '#libs/edge';
import { CertificateKeeper, LONGEST_PAUSE_SECONDS } from './certificate-keeper.js';

const report = (changed: boolean): CertificateReport => ({
  changed,
  warnings: [],
  expiresAt: { portal: new Date(0), tenants: new Date(0) },
});
const failure = (details: Record<string, unknown>): DomainError =>
  new DomainError('UNAVAILABLE', { message: 'The certificate portal was not issued: no route to host.', details });

/** A keeper whose certificate authority answers in turn as told. */
function keeper(answers: (CertificateReport | Error)[], live: Promise<void> = Promise.resolve()) {
  const did: string[] = [];
  const made = new CertificateKeeper({
    ready: () => live,
    ensure: () => {
      did.push('asked');
      const answer = answers.shift();
      return answer instanceof Error || !answer
        ? Promise.reject(answer ?? new Error('asked too often'))
        : Promise.resolve(answer);
    },
    touch: () => {
      did.push('touched');
      return Promise.resolve();
    },
    logger: { warn: () => undefined },
    now: () => new Date('2026-11-21T10:00:00Z'),
  });
  return { made, did };
}

describe('the keeper of certificates', () => {
  it('asks for nothing before the proxy serves the way the authority will ask', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { made, did } = keeper([report(true)], promise);
    const turn = made.turn();
    await new Promise((done) => setTimeout(done, 20));
    expect(did).toEqual([]);
    resolve();
    await turn;
    expect(did).toEqual(['asked', 'touched']);
  });

  it('comes back soon when nothing was ordered, later each time when an order failed, and calmly when all is well', async () => {
    const { made } = keeper([
      failure({ ordered: false }),
      failure({ ordered: false }),
      failure({ ordered: true }),
      failure({ ordered: true }),
      failure({ ordered: true }),
      failure({ ordered: true }),
      report(false),
    ]);
    const pauses: number[] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      await expect(made.turn()).rejects.toThrow('no route to host. It is tried again at ');
      pauses.push(made.pauseSeconds());
    }
    expect(pauses.slice(0, 2)).toEqual([120, 120]);
    // Four failed orders in twelve hours are the budget; these leave it room.
    expect(pauses.slice(2)).toEqual([900, 3_600, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]);
    await made.turn();
    expect(made.pauseSeconds()).toBe(12 * 3_600);
  });

  it('says when it comes back, and comes back soon after a failure of its own', async () => {
    const { made } = keeper([failure({ ordered: true }), new Error('no space left on device')]);
    await expect(made.turn()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('2026-11-21 10:15 UTC') as string,
    });
    await expect(made.turn()).rejects.toThrow('no space left on device');
    expect(made.pauseSeconds()).toBe(120);
  });

  it('has the proxy read what was issued, also when another certificate was not', async () => {
    const { made, did } = keeper([failure({ ordered: true, changed: true })]);
    await expect(made.turn()).rejects.toBeInstanceOf(DomainError);
    expect(did).toEqual(['asked', 'touched']);
  });
});
