import { alarmRank } from './alarm-rank.js';

it('of one severity fewer days left are worse, and every critical alarm is worse than every warning', () => {
  const left = [21, 14, 7, 0].map((level) => alarmRank({ severity: 'warning', params: { level } }));
  expect(left).toEqual(left.toSorted((a, b) => a - b));
  expect(new Set(left).size).toBe(4);
  expect(Math.max(...left)).toBeLessThan(alarmRank({ severity: 'critical', params: {} }));
});
