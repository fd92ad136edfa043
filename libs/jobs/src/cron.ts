import { createTask } from 'node-cron';

/** Whether a schedule is due in the minute of a time; UTC. */
export function cronMatcher(cron: string): (at: Date) => boolean {
  const task = createTask(cron, () => undefined, { timezone: 'UTC' });
  return (at) => task.match(at);
}
