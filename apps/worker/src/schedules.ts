import type { Schedule } from '#libs/jobs';

/** When recurring work is due, UTC. Each only enqueues its job; what the job does does not depend on the time. */
export const SCHEDULES: readonly Schedule[] = [
  { name: 'audit-seal', cron: '* * * * *', job: 'audit.seal', payload: {}, catchUp: 1, graceSeconds: 240 },
  {
    name: 'operations-expire',
    cron: '* * * * *',
    job: 'operations.expire',
    payload: {},
    catchUp: 1,
    graceSeconds: 240,
  },
  { name: 'alarms-mail', cron: '* * * * *', job: 'alarms.mail', payload: {}, catchUp: 1, graceSeconds: 240 },
  { name: 'backups-order', cron: '*/5 * * * *', job: 'backups.order', payload: {}, catchUp: 1, graceSeconds: 600 },
  {
    name: 'portal-backup-order',
    cron: '3-59/5 * * * *',
    job: 'portal-backup.order',
    payload: {},
    catchUp: 1,
    graceSeconds: 600,
  },
  { name: 'rollouts-advance', cron: '* * * * *', job: 'rollouts.advance', payload: {}, catchUp: 1, graceSeconds: 240 },
  { name: 'backups-prune', cron: '2-59/5 * * * *', job: 'backups.prune', payload: {}, catchUp: 1, graceSeconds: 600 },
  { name: 'sessions-clean', cron: '17 * * * *', job: 'sessions.clean', payload: {}, catchUp: 1, graceSeconds: 900 },
];
