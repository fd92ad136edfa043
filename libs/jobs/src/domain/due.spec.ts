import fc from 'fast-check';
import { LOOK_BACK_MINUTES, missedTimes, nextDue } from './due.js';

const at = (text: string): Date => new Date(`2026-03-01T${text}Z`);
const hourly = (time: Date): boolean => time.getUTCMinutes() === 0;

describe('missed times', () => {
  it('lie after the last one, up to now, oldest first', () => {
    const { due, dropped } = missedTimes(hourly, { last: at('02:00:00'), now: at('05:00:00') }, 10);
    expect(due).toEqual([at('03:00:00'), at('04:00:00'), at('05:00:00')]);
    expect(dropped).toBe(0);
  });

  it('are the newest ones when there are more than may be made up for', () => {
    const { due, dropped } = missedTimes(hourly, { last: at('02:00:00'), now: at('09:59:59') }, 2);
    expect(due).toEqual([at('08:00:00'), at('09:00:00')]);
    expect(dropped).toBe(5);
  });

  it('are not looked for further back than a day and an hour', () => {
    let asked = 0;
    const count = (): boolean => {
      asked += 1;
      return false;
    };
    missedTimes(count, { last: new Date(0), now: at('12:00:00') }, 5);
    expect(asked).toBe(LOOK_BACK_MINUTES);
  });

  it('are whole minutes in (last, now], whatever the schedule', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000_000 }), fc.integer({ min: 0, max: 90_000_000 }), (start, gap) => {
        const range = { last: new Date(start), now: new Date(start + gap) };
        const { due } = missedTimes((time) => time.getUTCMinutes() % 7 === 0, range, 20);
        for (const time of due) {
          expect(time.getTime() % 60_000).toBe(0);
          expect(time > range.last && time <= range.now).toBe(true);
        }
        expect(due.length).toBeLessThanOrEqual(20);
      }),
      { numRuns: 30 },
    );
  });
});

describe('the next time', () => {
  it('lies after now, and is not looked for further ahead than a day and an hour', () => {
    expect(nextDue(hourly, at('02:00:00'))).toEqual(at('03:00:00'));
    expect(nextDue(hourly, at('02:59:59'))).toEqual(at('03:00:00'));
    expect(nextDue(() => false, at('02:00:00'))).toBeNull();
  });
});
