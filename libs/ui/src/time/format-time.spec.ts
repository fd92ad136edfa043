import { formatTime, utcTitle } from './format-time.js';

const now = Date.parse('2026-11-21T14:00:00Z');
const at = (iso: string, zone = 'Europe/Berlin', style?: 'datetime' | 'date' | 'time' | 'seconds') =>
  formatTime(Date.parse(iso), { locale: 'en', zone, now, ...(style === undefined ? {} : { style }) });

describe('formatTime', () => {
  it('leaves the day out today, as the zone sees today', () => {
    expect(at('2026-11-21T13:02:00Z')).toBe('14:02');
    expect(at('2026-11-20T23:30:00Z')).toBe('00:30');
    expect(at('2026-11-20T23:30:00Z', 'UTC')).toBe('20 Nov, 23:30');
  });
  it('names the year of another one', () => {
    expect(at('2025-11-12T08:14:00Z')).toBe('12 Nov 2025, 09:14');
  });
  it('counts midnight as 00', () => {
    expect(at('2026-11-20T23:00:00Z', 'Europe/Berlin', 'seconds')).toBe('00:00:00');
  });
  it('writes both hours of the night clocks go back', () => {
    expect(at('2026-10-25T00:30:00Z', 'Europe/Berlin', 'time')).toBe('02:30');
    expect(at('2026-10-25T01:30:00Z', 'Europe/Berlin', 'time')).toBe('02:30');
    expect(utcTitle(Date.parse('2026-10-25T01:30:00Z'))).toBe('2026-10-25 01:30:00 UTC');
  });
});
