import { DeadlineError, KeyedMutex, Semaphore, backoffMs, waitFor, withDeadline } from './index.js';

describe('waitFor', () => {
  it('never looks more often than its first pause says', async () => {
    const looks: number[] = [];
    await waitFor(() => (looks.push(performance.now()) === 3 ? true : undefined), {
      what: 'the third look',
      deadlineMs: 10_000,
      intervalMs: 700,
    });
    const [, second = 0, third = 0] = looks;
    expect(third - second).toBeGreaterThan(690);
  });

  it('returns the first result that is there and forgives probes that throw before it', async () => {
    let calls = 0;
    const value = await waitFor(
      () => {
        calls += 1;
        if (calls === 1) {
          throw new Error('refused');
        }
        return calls === 3 ? 'up' : undefined;
      },
      { what: 'service', deadlineMs: 2_000, intervalMs: 1 },
    );
    expect(value).toBe('up');
    expect(calls).toBe(3);
  });

  it('ends at the deadline and keeps the last error as the cause', async () => {
    const failed = waitFor(() => Promise.reject(new Error('refused')), {
      what: 'service',
      deadlineMs: 30,
      intervalMs: 5,
    });
    await expect(failed).rejects.toThrow(DeadlineError);
    await expect(failed).rejects.toMatchObject({ cause: { message: 'refused' } });
  });

  it('ends at once when the caller aborts, with the caller’s reason', async () => {
    const control = new AbortController();
    const waiting = waitFor(() => undefined, { what: 'service', deadlineMs: 60_000, signal: control.signal });
    control.abort(new Error('cancelled by a person'));
    await expect(waiting).rejects.toThrow('cancelled by a person');
  });
});

it('a deadline beyond the longest timer does not fire at once', async () => {
  await expect(
    withDeadline('pull', { deadlineMs: 1e12 }, () => new Promise((resolve) => setImmediate(() => resolve(7)))),
  ).resolves.toBe(7);
});

describe('withDeadline', () => {
  it('rejects at the deadline even when the work ignores its signal', async () => {
    await expect(withDeadline('pull', { deadlineMs: 20 }, () => new Promise(() => undefined))).rejects.toThrow(
      'pull did not happen within 20 ms',
    );
  });
  it('passes the result through', async () => {
    await expect(withDeadline('pull', { deadlineMs: 1_000 }, () => Promise.resolve(7))).resolves.toBe(7);
  });
});

describe('Semaphore and KeyedMutex', () => {
  it('never runs more than its slots at once', async () => {
    const semaphore = new Semaphore(2);
    let running = 0;
    let peak = 0;
    await Promise.all(
      Array.from({ length: 9 }, () =>
        semaphore.run(async () => {
          running += 1;
          peak = Math.max(peak, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
        }),
      ),
    );
    expect(peak).toBe(2);
  });

  it('keeps the order per key, also after a failure, and lets other keys pass', async () => {
    const mutex = new KeyedMutex();
    const seen: string[] = [];
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const first = mutex.run('a', async () => {
      await gate;
      seen.push('a1');
      throw new Error('boom');
    });
    const second = mutex.run('a', async () => void seen.push('a2'));
    await mutex.run('b', async () => void seen.push('b1'));
    open();
    await expect(first).rejects.toThrow('boom');
    await second;
    expect(seen).toEqual(['b1', 'a1', 'a2']);
  });
});

it('backs off exponentially up to the maximum', () => {
  expect([0, 1, 2, 10].map((attempt) => backoffMs(attempt, 100, 1_000, 0.5))).toEqual([50, 100, 200, 500]);
});
