import { setTimeout as pause } from 'node:timers/promises';
import type { LogBatch } from '#libs/contracts';
import type { LogLine } from '#libs/engine';
import { batched } from './log-relay.js';

const line = (number: number): LogLine => ({
  at: `t${String(number).padStart(6, '0')}`,
  stream: 'out',
  text: `line ${number}`,
});
async function* numbered(count: number): AsyncGenerator<LogLine> {
  for (let number = 0; number < count; number += 1) {
    yield line(number);
  }
}
async function all(batches: AsyncIterable<LogBatch>, betweenMs = 0): Promise<LogBatch[]> {
  const seen: LogBatch[] = [];
  for await (const batch of batches) {
    seen.push(batch);
    if (betweenMs > 0) {
      await pause(betweenMs);
    }
  }
  return seen;
}

describe('a log on its way to a reader', () => {
  it('comes whole and in order to one that keeps up', async () => {
    const seen = await all(batched(numbered(1_000)));
    expect(seen.flatMap(({ lines }) => lines.map(({ text }) => text))).toEqual(
      Array.from({ length: 1_000 }, (_unused, number) => `line ${number}`),
    );
    expect(seen.every(({ dropped }) => dropped === 0)).toBe(true);
    expect(seen.map(({ ended }) => ended).indexOf(true)).toBe(seen.length - 1);
  });

  it('says how many lines a slow reader missed, exactly where they are missing, and holds no more than it may', async () => {
    const seen = await all(batched(numbered(100_000), { held: 300 }), 2);
    expect(seen.some(({ dropped }) => dropped > 0)).toBe(true);
    let next = 0;
    for (const { lines, dropped } of seen) {
      next += dropped;
      for (const { text } of lines) {
        expect(text).toBe(`line ${next}`);
        next += 1;
      }
    }
    expect(next).toBe(100_000);
  });

  it('ends with an empty batch where nothing was written', async () => {
    expect(await all(batched(numbered(0)))).toEqual([{ lines: [], dropped: 0, ended: true }]);
  });

  it('tells what went wrong, and lets the log go when its reader leaves', async () => {
    async function* broken(): AsyncGenerator<LogLine> {
      yield line(1);
      throw new Error('the engine went away');
    }
    await expect(all(batched(broken()))).rejects.toThrow('the engine went away');
    let left = false;
    async function* endless(): AsyncGenerator<LogLine> {
      try {
        for (let number = 0; ; number += 1) {
          await pause(1);
          yield line(number);
        }
      } finally {
        left = true;
      }
    }
    for await (const _batch of batched(endless())) {
      break;
    }
    expect(left).toBe(true);
  });
});
