import { daysToTimes, isDay } from './days.js';

describe('days of a filter', () => {
  it('reach from the first moment of the first to the end of the last', () => {
    expect(daysToTimes({ from: '2026-11-20', to: '2026-11-21' }, 'utc')).toEqual({
      from: '2026-11-20T00:00:00.000Z',
      to: '2026-11-22T00:00:00.000Z',
    });
    expect(daysToTimes({ to: '2026-12-31' }, 'utc')).toEqual({ to: '2027-01-01T00:00:00.000Z' });
    expect(daysToTimes({}, 'local')).toEqual({});
  });

  it('are those of the chosen zone', () => {
    const { from } = daysToTimes({ from: '2026-11-20' }, 'local');
    expect(from).toBe(new Date(2026, 10, 20).toISOString());
  });

  it.each(['2026-11-31', '2026-13-01', '20.11.2026', '', 'x', undefined, 7])('do not take %s', (text) => {
    expect(isDay(text)).toBe(false);
  });
  it('take a day of the calendar', () => {
    expect(isDay('2028-02-29')).toBe(true);
  });
});
