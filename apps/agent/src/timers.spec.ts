import { waitFor } from '#libs/async';
import { NOTHING_DUE, Timers } from './timers.js';

const SOON = { deadlineMs: 10_000, intervalMs: 5 };

it('a turn that does not end is a failure, told once, until it ended and one went well', async () => {
  const stop = new AbortController();
  const said: string[] = [];
  const logger = { error: (_fields: unknown, words?: string) => said.push(words ?? '') };
  const timers = new Timers(stop.signal, logger, 20);
  const wedge = Promise.withResolvers<void>();
  let begun = 0;
  timers.every('engine pass', 0.001, async () => {
    begun += 1;
    await (begun === 2 ? wedge.promise : undefined);
  });
  timers.every('reconcile', 0.001, () => Promise.resolve(NOTHING_DUE));
  const failing = (): boolean => timers.states()['engine pass'] === true;

  try {
    await waitFor(() => failing() || undefined, { what: 'a turn that does not end', ...SOON });
    expect(timers.failing()).toEqual({ 'engine pass': expect.stringMatching(/^It has been at work since \S+Z and/) });
    expect([begun, said]).toEqual([2, ['a periodic task does not end']]);

    wedge.resolve();
    await waitFor(() => !failing() || undefined, { what: 'one that went well', ...SOON });
    expect(timers.failing()).toEqual({});
  } finally {
    wedge.resolve();
    stop.abort();
    await timers.ended();
  }
});

it('work that goes on beside its timer is a failure only once it failed or takes longer than it may', async () => {
  const stop = new AbortController();
  const timers = new Timers(stop.signal, { error: () => undefined }, 20);
  let end = Promise.withResolvers<unknown>();
  let ended = 0;
  const signals: AbortSignal[] = [];
  timers.beside('portal backup', { seconds: 0.001, longestMs: 60_000 }, async (signal) => {
    signals.push(signal);
    await end.promise.finally(() => (ended += 1));
  });
  timers.beside('deaf', { seconds: 0.001, longestMs: 20 }, (signal) => {
    signals.push(signal);
    return new Promise((resolve) => {
      stop.signal.addEventListener('abort', resolve);
    });
  });
  const failing = (name: string): Promise<string> =>
    waitFor(() => timers.failing()[name], { what: `a failure of ${name}`, ...SOON });

  try {
    // A turn that takes so long would be one by now.
    expect(await failing('deaf')).toContain('longer than it may');
    expect(signals.filter(({ aborted }) => aborted)).toHaveLength(1);
    expect([Object.keys(timers.failing()), ended, signals.length]).toEqual([['deaf'], 0, 2]);
    const bad = end;
    end = Promise.withResolvers();
    bad.reject(new Error('the store is away'));
    expect(await failing('portal backup')).toBe('the store is away');
    end.resolve('done');
    await waitFor(() => (timers.failing()['portal backup'] === undefined ? true : undefined), {
      what: 'one that went well',
      ...SOON,
    });
  } finally {
    end.resolve('done');
    stop.abort();
    await timers.ended();
  }
});
