import type { StackLogLine } from '#libs/contracts';
import { EMPTY_LOG, MOST_LINES, withBatch } from './log-lines.js';

const line = (number: number): StackLogLine => ({
  at: `2026-01-01T00:00:00.${String(number).padStart(9, '0')}Z`,
  stream: 'out',
  text: `line ${number}`,
});
const lines = (from: number, to: number): StackLogLine[] =>
  Array.from({ length: to - from }, (_unused, index) => line(from + index));

describe('a log on a page', () => {
  it('shows each line once, also when a stream that came back tells some again', () => {
    const log = withBatch(withBatch(EMPTY_LOG, { lines: lines(0, 5), dropped: 0 }), { lines: lines(3, 8), dropped: 0 });
    expect(log.lines.map((one) => one.kind === 'line' && one.text)).toEqual(lines(0, 8).map(({ text }) => text));
    expect(log.after).toBe(line(7).at);
    expect(new Set(log.lines.map(({ id }) => id)).size).toBe(8);
  });

  it('shows a gap where lines are missing', () => {
    const log = withBatch(withBatch(EMPTY_LOG, { lines: lines(0, 2), dropped: 0 }), {
      lines: lines(9, 10),
      dropped: 7,
    });
    expect(log.lines.map(({ kind }) => kind)).toEqual(['line', 'line', 'gap', 'line']);
    expect(log.lines[2]).toMatchObject({ dropped: 7 });
  });

  it('lets the oldest go', () => {
    const log = withBatch(EMPTY_LOG, { lines: lines(0, MOST_LINES + 10), dropped: 0 });
    expect(log.lines).toHaveLength(MOST_LINES);
    expect(log.lines[0]).toMatchObject({ text: 'line 10' });
  });
});
