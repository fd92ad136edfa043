import { scheduleView, type ScheduleFacts } from './duty.js';

const at = (text: string): Date => new Date(`2026-03-01T${text}Z`);
const hourly = (time: Date): boolean => time.getUTCMinutes() === 0;
const facts = (change: Partial<ScheduleFacts> = {}): ScheduleFacts => ({
  name: 'hourly',
  cron: '0 * * * *',
  job: 'sessions.clean',
  graceSeconds: 600,
  createdAt: at('00:30:00'),
  tickedAt: null,
  doneFor: null,
  finishedAt: null,
  lateLastDay: 0,
  ...change,
});

describe('what became of a schedule', () => {
  it('FM-11 counts the runs that should have ended by now, and names the next', () => {
    const done = { tickedAt: at('02:00:00'), doneFor: at('02:00:00'), finishedAt: at('02:00:01') };
    expect(scheduleView(facts(done), hourly, at('03:09:59'))).toMatchObject({
      state: 'done',
      missed: 0,
      nextAt: at('04:00:00').toISOString(),
    });
    expect(scheduleView(facts(done), hourly, at('06:30:00'))).toMatchObject({
      state: 'missed',
      missed: 4,
      expectedAt: at('06:00:00').toISOString(),
    });
    expect(scheduleView(facts(), hourly, at('03:10:00'))).toMatchObject({ state: 'missed', missed: 3 });
    expect(scheduleView(facts(), hourly, at('00:59:00'))).toMatchObject({ state: 'waits', missed: 0 });
  });
});
