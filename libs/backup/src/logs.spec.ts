import { lastLines } from './logs.js';

const { signal } = new AbortController();

/** A container that wrote those lines, and how many were asked for each time. */
function written(lines: readonly string[]) {
  const asked: number[] = [];
  return {
    asked,
    engine: {
      logTail: (_container: string, count: number) => {
        asked.push(count);
        return Promise.resolve(lines.slice(-count));
      },
    },
  };
}
const numbered = (count: number, width = 0): string[] =>
  Array.from({ length: count }, (_, at) => `line ${at}`.padEnd(width, '.'));

it('gives all of a log that is small, and nothing of an empty one', async () => {
  expect(String(await lastLines(written(['a', 'ü']).engine, 'one', { signal }))).toBe('a\nü\n');
  expect(String(await lastLines(written([]).engine, 'one', { signal }))).toBe('');
});

it('gives the whole end of a larger one, asked for in few pieces', async () => {
  const lines = numbered(100_000);
  const { engine, asked } = written(lines);
  expect(String(await lastLines(engine, 'one', { signal }))).toBe(`${lines.join('\n')}\n`);
  expect(asked.length).toBeLessThan(6);
});

it.each([
  ['short', numbered(10_000, 10)],
  ['long', numbered(2_000, 5_000)],
  ['long, then short', [...numbered(2_000, 5_000), ...numbered(2_000, 10)]],
])('keeps within its bytes, in whole lines, where they are %s', async (_how, lines) => {
  const most = 50_000;
  const { engine, asked } = written(lines);
  const got = String(await lastLines(engine, 'one', { signal, most }));
  expect(Buffer.byteLength(got)).toBeLessThanOrEqual(most);
  expect(Buffer.byteLength(got)).toBeGreaterThan(most / 3);
  expect(`${lines.join('\n')}\n`.endsWith(got)).toBe(true);
  expect(lines).toContain(got.split('\n')[0]);
  expect(asked.length).toBeLessThan(6);
});
