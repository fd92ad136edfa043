import { Writable } from 'node:stream';
import { pour } from './pour.js';
import { DeadlineError } from './wait.js';

const never = new AbortController().signal;

async function* counting(counted: { made: number }, most = Infinity): AsyncGenerator<Buffer> {
  while (counted.made < most) {
    counted.made += 1;
    await Promise.resolve();
    yield Buffer.alloc(1_000);
  }
}

it('writes all of it, as fast as it is taken', async () => {
  let most = 0;
  let taken = 0;
  const counted = { made: 0 };
  const to = new Writable({
    highWaterMark: 3_000,
    write(_chunk, _encoding, done) {
      most = Math.max(most, counted.made - taken);
      taken += 1;
      setImmediate(done);
    },
  });
  await pour(counting(counted, 200), to, { stalledMs: 10_000, signal: never });
  to.end();
  expect(counted.made).toBe(200);
  expect(most).toBeLessThanOrEqual(4);
});

it('ends where nothing is taken any more, and lets go of its source', async () => {
  const counted = { made: 0 };
  let left = false;
  const source = (async function* () {
    try {
      yield* counting(counted);
    } finally {
      left = true;
    }
  })();
  const to = new Writable({ highWaterMark: 3_000, write: () => undefined });
  await expect(pour(source, to, { stalledMs: 50, signal: never })).rejects.toBeInstanceOf(DeadlineError);
  expect([left, counted.made]).toEqual([true, 3]);
});

it('ends with why it is to end, and with what its source fails with', async () => {
  const control = new AbortController();
  const to = new Writable({ highWaterMark: 3_000, write: () => undefined });
  const gone = new Error('the reader left');
  setTimeout(() => control.abort(gone), 20);
  await expect(pour(counting({ made: 0 }), to, { stalledMs: 10_000, signal: control.signal })).rejects.toBe(gone);
  const broken = new Error('a damaged pack');
  const source = (async function* (): AsyncGenerator<Buffer> {
    yield Buffer.alloc(1);
    await Promise.resolve();
    throw broken;
  })();
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  await expect(pour(source, sink, { stalledMs: 10_000, signal: never })).rejects.toBe(broken);
});

it('ends where next to nothing is taken for long, however often', async () => {
  const counted = { made: 0 };
  const to = new Writable({
    highWaterMark: 1,
    write: (_chunk, _encoding, done) => void setTimeout(done, 50),
  });
  // 1 000 bytes in 50 ms are 20 kB/s.
  await expect(pour(counting(counted, 100), to, { stalledMs: 300, signal: never })).rejects.toBeInstanceOf(
    DeadlineError,
  );
  expect(counted.made).toBeGreaterThan(5);
});

it('lets a source be as slow as it is', async () => {
  const source = (async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < 4; at += 1) {
      await new Promise((resolve) => setTimeout(resolve, 40));
      yield Buffer.alloc(1);
    }
  })();
  const to = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void setImmediate(done) });
  await pour(source, to, { stalledMs: 60, signal: never });
});

it('measures all its stalls with one timer and one signal', async () => {
  const timers = jest.spyOn(globalThis, 'setInterval');
  const others = jest.spyOn(AbortSignal, 'timeout');
  const signals = jest.spyOn(AbortSignal, 'any');
  let stalls = 0;
  const to = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, done) {
      stalls += 1;
      setImmediate(done);
    },
  });
  await pour(counting({ made: 0 }, 1_000), to, { stalledMs: 10_000, signal: never });
  expect(stalls).toBe(1_000);
  const made = [timers, others, signals].map(({ mock }) => mock.calls.length);
  [timers, others, signals].forEach((spy) => spy.mockRestore());
  expect(made).toEqual([1, 0, 1]);
});
