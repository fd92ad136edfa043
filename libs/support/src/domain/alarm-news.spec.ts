import { alarmRank } from '#libs/contracts';
import { alarmNews, type ToldAlarm } from './alarm-news.js';

const start = new Date('2026-03-01T12:00:00Z').getTime();
const at = (minute: number): Date => new Date(start + minute * 60_000);
const alarm = (change: Partial<ToldAlarm> = {}): ToldAlarm => ({
  severity: 'warning',
  params: {},
  endedAt: null,
  acknowledgedAt: null,
  mailedAt: null,
  mailedRank: null,
  ...change,
});

/** Mails of an alarm that is open in these minutes, looked at each minute. */
function mails(open: (minute: number) => boolean, minutes: number): [number, string][] {
  let row = alarm();
  const sent: [number, string][] = [];
  for (let minute = 0; minute < minutes; minute += 1) {
    row = { ...row, endedAt: open(minute) ? null : (row.endedAt ?? at(minute)) };
    const news = alarmNews(row, at(minute));
    if (news !== null) {
      sent.push([minute, news]);
      row =
        news === 'open' ? { ...row, mailedAt: at(minute), mailedRank: alarmRank(row) } : { ...row, mailedRank: null };
    }
  }
  return sent;
}

describe('mails about an alarm', () => {
  it('are one when it is raised and one when it is over', () => {
    expect(mails((minute) => minute < 30, 120)).toEqual([
      [0, 'open'],
      [40, 'over'],
    ]);
  });

  it('are no more while it comes and goes, and the end is told once it stays away', () => {
    expect(mails((minute) => minute < 100 && minute % 3 === 0, 200)).toEqual([
      [0, 'open'],
      [110, 'over'],
    ]);
  });

  it('are two an hour at most, however slowly it comes and goes', () => {
    const day = mails((minute) => minute % 15 < 2, 24 * 60);
    expect(day.length).toBeLessThanOrEqual(48);
    expect(day.filter(([, news]) => news === 'open').every(([minute]) => minute % 15 < 2)).toBe(true);
  });

  it('are sent again when it gets worse, not when it gets better, and not after somebody has acknowledged it', () => {
    const told = { mailedAt: at(0), mailedRank: alarmRank(alarm()) };
    expect(alarmNews(alarm(told), at(1))).toBeNull();
    expect(alarmNews(alarm({ ...told, severity: 'critical' }), at(1))).toBe('open');
    expect(alarmNews(alarm({ ...told, mailedRank: 200 }), at(1))).toBeNull();
    expect(alarmNews(alarm({ acknowledgedAt: at(0) }), at(1))).toBeNull();
    expect(alarmNews(alarm({ ...told, acknowledgedAt: at(0), endedAt: at(1) }), at(11))).toBe('over');
  });
});
