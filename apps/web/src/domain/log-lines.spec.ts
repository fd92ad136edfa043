import type { StackLogLine } from '#libs/contracts';
import { EMPTY_LOG, linesSince, MOST_LINES, withBatch } from './log-lines.js';

const line = (number: number): StackLogLine => ({
  at: `2026-01-01T00:00:00.${String(number).padStart(9, '0')}Z`,
  stream: 'out',
  text: `line ${number}`,
});
const lines = (from: number, to: number): StackLogLine[] =>
  Array.from({ length: to - from }, (_unused, index) => line(from + index));

describe('a log on a page', () => {
  it('shows each line once, also when a stream that came back tells some again', () => {
    const log = withBatch(withBatch(EMPTY_LOG, { lines: lines(0, 5), dropped: 0, ended: false }), {
      lines: lines(3, 8),
      dropped: 0,
      ended: false,
    });
    expect(log.lines.map((one) => one.kind === 'line' && one.text)).toEqual(lines(0, 8).map(({ text }) => text));
    expect(log.after).toBe(line(7).at);
    expect(new Set(log.lines.map(({ id }) => id)).size).toBe(8);
  });

  it('shows a gap where lines are missing', () => {
    const log = withBatch(withBatch(EMPTY_LOG, { lines: lines(0, 2), dropped: 0, ended: false }), {
      lines: lines(9, 10),
      dropped: 7,
      ended: false,
    });
    expect(log.lines.map(({ kind }) => kind)).toEqual(['line', 'line', 'gap', 'line']);
    expect(log.lines[2]).toMatchObject({ dropped: 7 });
  });

  it('lets the oldest go', () => {
    const log = withBatch(EMPTY_LOG, { lines: lines(0, MOST_LINES + 10), dropped: 0, ended: false });
    expect(log.lines).toHaveLength(MOST_LINES);
    expect(log.lines[0]).toMatchObject({ text: 'line 10' });
  });

  it('says once that the service ended, however often it is asked', () => {
    const ended = { lines: [], dropped: 0, ended: true };
    const log = withBatch(withBatch(EMPTY_LOG, { lines: lines(0, 1), dropped: 0, ended: true }), ended);
    expect(log.lines.map(({ kind }) => kind)).toEqual(['line', 'end']);
    expect(withBatch(log, ended)).toBe(log);
    const next = withBatch(log, { lines: lines(1, 2), dropped: 0, ended: false });
    expect(next.lines.map(({ kind }) => kind)).toEqual(['line', 'end', 'line']);
    expect(withBatch(EMPTY_LOG, ended).lines).toEqual([]);
  });

  it('counts the lines that came while its reader held it', () => {
    const held = withBatch(EMPTY_LOG, { lines: lines(0, 3), dropped: 0, ended: false });
    const log = withBatch(held, { lines: lines(3, 5), dropped: 4, ended: true });
    expect(linesSince(log, held.nextId)).toBe(2);
  });
});
