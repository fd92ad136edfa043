import { type Database } from '#libs/db';

const KEEP_DAYS = 7;

/** Removes old ticks. The newest of each schedule stays: without it a missed run could not be noticed. */
export async function cleanTicks(database: Database, now: Date): Promise<number> {
  const before = new Date(now.getTime() - KEEP_DAYS * 86_400_000);
  const [, removed] = (await database.query(
    `delete from schedule_ticks old where old.due_at < $1
        and exists (select from schedule_ticks newer where newer.schedule = old.schedule and newer.due_at > old.due_at)`,
    [before],
  )) as [unknown[], number];
  return removed;
}
