import { durationParts, ratePerHour, tradedFor } from './duration.js';

const words = (milliseconds: number) =>
  durationParts(milliseconds)
    .map((part) => `${part.count}${part.unit}`)
    .join(' ');

describe('durations', () => {
  it('speaks in two neighbouring units at most', () => {
    expect(words(0)).toBe('0s');
    expect(words(-5000)).toBe('0s');
    expect(words(59_999)).toBe('59s');
    expect(words(4 * 60_000 + 30_000)).toBe('4m');
    expect(words(2 * 3_600_000)).toBe('2h');
    expect(words(2 * 3_600_000 + 5 * 60_000)).toBe('2h 5m');
    expect(words(3 * 86_400_000 + 2 * 3_600_000 + 59 * 60_000)).toBe('3d 2h');
    expect(words(3 * 86_400_000 + 59 * 60_000)).toBe('3d');
  });

  it('gives a rate only when there has been time for one', () => {
    expect(ratePerHour(12, 10 * 3_600_000)).toBe('1.2');
    expect(ratePerHour(3, 60_000)).toBeNull();
    expect(ratePerHour(0, 10 * 3_600_000)).toBeNull();
  });
});

describe('tradedFor', () => {
  const now = Date.parse('2026-11-21T18:00:00.000Z');

  it('ends when the bot does, so that its rate stays what it was', () => {
    const bot = { startedAt: '2026-11-21T12:00:00.000Z', stoppedAt: null };
    expect(tradedFor(bot, now)).toBe(6 * 3_600_000);
    expect(tradedFor({ ...bot, stoppedAt: '2026-11-21T14:00:00.000Z' }, now)).toBe(2 * 3_600_000);
  });

  it('is nothing before a start', () => {
    expect(tradedFor({ startedAt: null, stoppedAt: null }, now)).toBeNull();
  });
});
