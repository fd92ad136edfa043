import { fromChartNumber, toChartNumber, toChartTime } from './chart-number.js';

describe('chart numbers', () => {
  it('places an amount and brings a dragged place back on the tick', () => {
    expect(toChartNumber('64980.4')).toBe(64980.4);
    expect(fromChartNumber(64980.4444, '0.1')).toBe('64980.4');
    expect(fromChartNumber(64980.46, '0.1')).toBe('64980.5');
    expect(fromChartNumber(3.2, '5')).toBe('5');
  });

  it('never brings back zero, a negative price or scientific notation', () => {
    expect(fromChartNumber(-12, '0.01')).toBe('0.01');
    expect(fromChartNumber(0, '0.00000001')).toBe('0.00000001');
  });

  it('counts time in whole UTC seconds', () => {
    expect(toChartTime('2026-11-21T00:00:01.900Z')).toBe(Date.UTC(2026, 10, 21, 0, 0, 1) / 1000);
  });
});
