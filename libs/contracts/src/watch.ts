import { z } from 'zod';

/** What an alarm is about; pages and scripts branch on it. */
export const ALARM_CODES = [
  'SCHEDULE_MISSED',
  'QUEUE_STALLED',
  'JOBS_FAILED',
  'PROXY_MISMATCH',
  'PROXY_SILENT',
  'CERTIFICATE_EXPIRES',
  'CERTIFICATE_NOT_SERVED',
  'STACK_DISK',
  'HOST_DISK_FULL',
  'DOMAIN_AWAY',
  'DOMAIN_UNROUTED',
  'STACK_STILL_RUNNING',
  'STACKS_UNWELL',
  'CAPACITY_LOW',
  'BACKUP_OVERDUE',
  'PORTAL_BACKUP_OVERDUE',
  'RECOVERY_INCOMPLETE',
  'ROLLOUT_HALTED',
  'ENGINE_AWAY',
  'AGENT_SILENT',
  'RECONCILE_LATE',
  'PORTAL_UNWELL',
  'KEY_LOST',
  'FENCED',
] as const;
export type AlarmCode = (typeof ALARM_CODES)[number];

export const alarmSchema = z.object({
  /** What it is about, such as `schedule/audit-seal`: the same thing raised again is the same alarm. */
  key: z.string(),
  code: z.enum(ALARM_CODES),
  severity: z.enum(['warning', 'critical']),
  /** What is wrong and what to do. */
  message: z.string(),
  params: z.record(z.string(), z.unknown()),
  since: z.iso.datetime(),
  /** When it was last found to be so. */
  seenAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
  /** An operator knows of it; null again when it is raised anew or gets worse. */
  acknowledgedAt: z.iso.datetime().nullable(),
  acknowledgedBy: z.string().nullable(),
  /** When operators were last mailed that it is so. */
  mailedAt: z.iso.datetime().nullable(),
});
export type Alarm = z.infer<typeof alarmSchema>;

/** GET /api/v1/operator/alarms: the open ones and those that ended within a week, newest first. */
export const alarmListSchema = z.object({ items: z.array(alarmSchema) });
export type AlarmList = z.infer<typeof alarmListSchema>;

/** POST /api/v1/operator/alarms/acknowledge */
export const acknowledgeAlarmSchema = z.strictObject({ key: z.string().min(1).max(300) });

/** done: the run that should have ended by now has; waits: it never had one to do yet; missed: it was not seen. */
export const SCHEDULE_STATES = ['done', 'waits', 'missed'] as const;

export const scheduleViewSchema = z.object({
  name: z.string(),
  /** Five fields, UTC. */
  cron: z.string(),
  job: z.string(),
  state: z.enum(SCHEDULE_STATES),
  /** The newest time at which a run was due that should have ended by now; null when there was none. */
  expectedAt: z.iso.datetime().nullable(),
  /** The time of the newest run for which a job was made, and of the newest that ended well. */
  tickedAt: z.iso.datetime().nullable(),
  doneFor: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
  /** When it is due next; null when that is more than 25 hours away. */
  nextAt: z.iso.datetime().nullable(),
  /** Runs that were due since the last one that ended well and should have ended by now. */
  missed: z.int(),
  /** Of the last day: runs that ended well, but later than they should have. */
  lateLastDay: z.int(),
  graceSeconds: z.int(),
});
export type ScheduleView = z.infer<typeof scheduleViewSchema>;

export const queueViewSchema = z.object({
  name: z.string(),
  waiting: z.int(),
  running: z.int(),
  oldestWaitingSeconds: z.number().nullable(),
  stalled: z.boolean(),
});
export type QueueView = z.infer<typeof queueViewSchema>;

/** GET /api/v1/operator/schedules: read from the rows at this moment, so that it is true with every worker dead. */
export const dutiesSchema = z.object({
  at: z.iso.datetime(),
  schedules: z.array(scheduleViewSchema),
  queues: z.array(queueViewSchema),
  /** Jobs that failed for good within the last day. */
  failedLastDay: z.int(),
});
export type Duties = z.infer<typeof dutiesSchema>;
