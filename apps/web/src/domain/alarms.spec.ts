import type { Alarm } from '#libs/contracts';
import { openAlarms, overAlarms, unknownAlarms } from './alarms.js';

const alarm = (key: string, change: Partial<Alarm> = {}): Alarm => ({
  key,
  code: 'JOBS_FAILED',
  severity: 'warning',
  message: key,
  params: {},
  since: '2026-03-01T12:00:00.000Z',
  seenAt: '2026-03-01T12:00:00.000Z',
  endedAt: null,
  acknowledgedAt: null,
  acknowledgedBy: null,
  mailedAt: null,
  ...change,
});
const at = (hour: number): string => `2026-03-01T${hour}:00:00.000Z`;

describe('alarms on a page', () => {
  it('stand by what is to be done first: not acknowledged, critical, new', () => {
    const alarms = [
      alarm('over', { endedAt: at(13) }),
      alarm('known', { severity: 'critical', acknowledgedAt: at(13), acknowledgedBy: 'olga' }),
      alarm('old', { since: at(10) }),
      alarm('new', { since: at(11) }),
      alarm('critical', { severity: 'critical', since: at(10) }),
      alarm('over later', { endedAt: at(14) }),
    ];
    expect(openAlarms(alarms).map(({ key }) => key)).toEqual(['critical', 'new', 'old', 'known']);
    expect(unknownAlarms(alarms).map(({ key }) => key)).toEqual(['critical', 'new', 'old']);
    expect(overAlarms(alarms).map(({ key }) => key)).toEqual(['over later', 'over']);
  });
});
