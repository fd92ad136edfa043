import type { AlarmCode, Duties, QueueView, ScheduleView } from '#libs/contracts';
import { lastDue, missedTimes, nextDue } from './due.js';

export interface ScheduleFacts {
  name: string;
  cron: string;
  job: string;
  graceSeconds: number;
  /** No run is expected from before. */
  createdAt: Date;
  tickedAt: Date | null;
  doneFor: Date | null;
  finishedAt: Date | null;
  lateLastDay: number;
}

/** A job's wait after which its queue counts as stalled while nobody works on it, and while somebody does. */
const STALLED_SECONDS = { idle: 300, busy: 1_800 };

/** What became of the newest run that should have ended by now. */
export function scheduleView(facts: ScheduleFacts, matches: (at: Date) => boolean, now: Date): ScheduleView {
  const until = new Date(now.getTime() - facts.graceSeconds * 1_000);
  const expected = lastDue(matches, facts.createdAt, until);
  const done = facts.doneFor !== null && (expected === null || facts.doneFor >= expected);
  return {
    name: facts.name,
    cron: facts.cron,
    job: facts.job,
    state: done ? 'done' : expected === null ? 'waits' : 'missed',
    expectedAt: expected?.toISOString() ?? null,
    tickedAt: facts.tickedAt?.toISOString() ?? null,
    doneFor: facts.doneFor?.toISOString() ?? null,
    finishedAt: facts.finishedAt?.toISOString() ?? null,
    nextAt: nextDue(matches, now)?.toISOString() ?? null,
    missed: done ? 0 : missedTimes(matches, { last: facts.doneFor ?? facts.createdAt, now: until }, 0).dropped,
    lateLastDay: facts.lateLastDay,
    graceSeconds: facts.graceSeconds,
  };
}

export function queueView(queue: Omit<QueueView, 'stalled'>): QueueView {
  const most = queue.running > 0 ? STALLED_SECONDS.busy : STALLED_SECONDS.idle;
  return { ...queue, stalled: (queue.oldestWaitingSeconds ?? 0) > most };
}

/** Something operators must know; `key` says what it is about. */
export interface Finding {
  key: string;
  code: AlarmCode;
  severity: 'warning' | 'critical';
  message: string;
  params: Record<string, unknown>;
}

/** What of recurring and waiting work is not as it should be. */
export function dutyFindings({ schedules, queues, failedLastDay }: Duties): Finding[] {
  const missed = schedules.filter(({ state }) => state === 'missed').map(missedFinding);
  const stalled = queues
    .filter((queue) => queue.stalled)
    .map(({ name, waiting, oldestWaitingSeconds }): Finding => ({
      key: `duty/queue/${name}`,
      code: 'QUEUE_STALLED',
      severity: 'critical',
      message: `${waiting} jobs wait in ${name}, the oldest for ${Math.round((oldestWaitingSeconds ?? 0) / 60)} minutes. Does its process run? See aviary doctor.`,
      params: { queue: name, waiting, seconds: Math.round(oldestWaitingSeconds ?? 0) },
    }));
  const failed: Finding[] =
    failedLastDay === 0
      ? []
      : [
          {
            key: 'duty/failed-jobs',
            code: 'JOBS_FAILED',
            severity: 'warning',
            message: `${failedLastDay} jobs failed for good within a day. The log of the worker or the agent says why, under “job failed for good”.`,
            params: { count: failedLastDay },
          },
        ];
  return [...missed, ...stalled, ...failed];
}

/** As people read it: to the minute, since schedules know no less. */
const minuteOf = (at: string): string => `${at.slice(0, 16).replace('T', ' ')} UTC`;

function missedFinding({ name, job, expectedAt, tickedAt, doneFor }: ScheduleView): Finding {
  const begun = tickedAt !== null && expectedAt !== null && tickedAt >= expectedAt;
  const last = doneFor === null ? 'It never ran.' : `Its last run was the one of ${minuteOf(doneFor)}.`;
  return {
    key: `duty/schedule/${name}`,
    code: 'SCHEDULE_MISSED',
    severity: 'critical',
    message: `The run of ${name} due at ${expectedAt === null ? 'its time' : minuteOf(expectedAt)} ${begun ? `was begun and did not end well: see the worker’s log for the job ${job}` : 'was not begun: does a worker run? See aviary doctor'}. ${last}`,
    params: { schedule: name, job, expectedAt, doneFor, begun },
  };
}
