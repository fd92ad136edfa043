import { axisLabels, crosshairLabel, tickKindOf, tickLabel } from './chart-time.js';

const utc = { timeZone: 'UTC', locale: 'en-GB' };
const berlin = { timeZone: 'Europe/Berlin', locale: 'en-GB' };
const at = (iso: string) => Date.parse(iso) / 1000;

describe('times on charts', () => {
  it('labels the same UTC moment in the chosen zone', () => {
    const moment = at('2026-11-21T23:30:00Z');
    expect(tickLabel(moment, 'minute', utc)).toBe('23:30');
    expect(tickLabel(moment, 'minute', berlin)).toBe('00:30');
    expect(tickLabel(moment, 'day', utc)).toBe('21 Nov');
    expect(tickLabel(moment, 'day', berlin)).toBe('22 Nov');
    expect(crosshairLabel(moment, berlin)).toContain('00:30');
  });

  it('shows both hours named 02 when clocks go back, instead of folding them', () => {
    const labels = [at('2026-10-25T00:30:00Z'), at('2026-10-25T01:30:00Z')].map((tick) =>
      tickLabel(tick, 'minute', berlin),
    );
    expect(labels).toEqual(['02:30', '02:30']);
  });

  it('marks the tick on which a new day begins by its date', () => {
    const ticks = [at('2026-11-21T20:00:00Z'), at('2026-11-21T22:00:00Z'), at('2026-11-22T00:00:00Z')];
    expect(axisLabels(ticks, utc)).toEqual(['20:00', '22:00', '22 Nov']);
    expect(axisLabels(ticks, berlin)).toEqual(['21:00', '23:00', '22 Nov']);
  });

  it('chooses the shape by the distance of ticks', () => {
    expect([1, 60, 3600, 86_400].map(tickKindOf)).toEqual(['second', 'minute', 'minute', 'day']);
    expect(axisLabels([], utc)).toEqual([]);
  });
});
