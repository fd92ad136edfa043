import { ago, agoChangesIn, formatDuration } from './ago.js';

const now = Date.parse('2026-11-21T14:00:00Z');

describe('ago', () => {
  it.each([
    [-2_000, { unit: 'now' }],
    [4_999, { unit: 'now' }],
    [40_000, { unit: 'second', count: 40 }],
    [60_000, { unit: 'minute', count: 1 }],
    [3_599_999, { unit: 'minute', count: 59 }],
    [3_600_000, { unit: 'clock' }],
  ])('%d ms ago reads %j', (passed, expected) => {
    expect(ago(now - passed, now)).toEqual(expected);
  });

  it('looks again often enough to stay true', () => {
    expect(agoChangesIn(now - 30_000, now)).toBe(1000);
    expect(agoChangesIn(now - 90_000, now)).toBeLessThanOrEqual(15_000);
  });
});

describe('formatDuration', () => {
  it.each([
    [-5, '0.0 s'],
    [449, '0.4 s'],
    [9_999, '9.9 s'],
    [31_900, '31 s'],
    [125_000, '2:05'],
    [3_725_000, '1:02:05'],
  ])('%d ms reads %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
