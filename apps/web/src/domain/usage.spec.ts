import type { UsagePoint } from '#libs/contracts';
import { byteParts, exactCount, lineOf } from './usage.js';

const point = (minute: number, more: Partial<UsagePoint> = {}): UsagePoint => ({
  at: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString(),
  cpu: 0.5,
  memoryBytes: 1_000,
  memoryMaxBytes: 2_000,
  diskBytes: null,
  receivedBytes: 600,
  sentBytes: 60,
  ...more,
});

describe('the line of a chart', () => {
  it('breaks where nothing was measured, not at one late sample', () => {
    const line = lineOf([point(0), point(1), point(3), point(9), point(10)], 'memory', 60);
    expect(line.map(({ value }) => value)).toEqual([1_000, 1_000, 1_000, null, 1_000, 1_000]);
    expect((line[3]?.at ?? 0) - (line[2]?.at ?? 0)).toBe(60);
  });

  it('keeps what is not known unknown', () => {
    expect(lineOf([point(0, { cpu: null })], 'cpu', 60)).toMatchObject([{ value: null }]);
    expect(lineOf([point(0, { receivedBytes: null, sentBytes: null })], 'network', 60)).toMatchObject([
      { value: null },
    ]);
  });

  it('draws traffic as bytes a second', () => {
    expect(lineOf([point(0)], 'network', 60)).toMatchObject([{ value: 11 }]);
    expect(lineOf([point(0, { sentBytes: null })], 'network', 60)).toMatchObject([{ value: 10 }]);
  });

  it('draws the disk from its rarer measurements', () => {
    const line = lineOf([point(0, { diskBytes: 5 }), point(1), point(15, { diskBytes: 7 })], 'disk', 60);
    expect(line.map(({ value }) => value)).toEqual([5, 7]);
  });
});

it('chooses a unit in which a size is short', () => {
  expect([0, 999, 1_024, 1_536, 217_055_232, 1_048_555, 5 * 1_024 ** 3].map(byteParts)).toEqual([
    { value: '0', unit: 'B' },
    { value: '999', unit: 'B' },
    { value: '1', unit: 'KB' },
    { value: '1.5', unit: 'KB' },
    { value: '207', unit: 'MB' },
    { value: '1', unit: 'MB' },
    { value: '5', unit: 'GB' },
  ]);
});

it('tells a count with all its digits', () => {
  expect([0, 999, 3_812_345].map(exactCount)).toEqual(['0', '999', '3\u00a0812\u00a0345']);
});
