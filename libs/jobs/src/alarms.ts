import { alarmRank, type Alarm } from '#libs/contracts';
import { AlarmEntity, tx, type Database } from '#libs/db';
import type { Finding } from './domain/duty.js';

const ENDED_SHOWN_MS = 7 * 86_400_000;
const ENDED_KEPT_MS = 90 * 86_400_000;

/** Who acknowledged an alarm did not acknowledge what it became ($7), nor what comes back after it was over. */
const STILL_KNOWN = `alarms.ended_at is null and not $7`;

export interface Settled {
  /** Not open before. */
  raised: Finding[];
  /** Keys of those that are over. */
  ended: string[];
}

/**
 * Makes what is open below `scope/` exactly `findings`. What `unsure` names is left as it is: seen once, and perhaps
 * over by the next look. Any number of processes may look at the same things.
 */
export async function settleAlarms(
  database: Database,
  scope: string,
  { findings, unsure = [] }: { findings: readonly Finding[]; unsure?: readonly string[] },
  now: Date,
): Promise<Settled> {
  return tx(database, async (db) => {
    const raised: Finding[] = [];
    for (const finding of findings.toSorted((a, b) => (a.key < b.key ? -1 : 1))) {
      const { key, code, severity, message, params } = finding;
      // Locked, so that it is the same one that is acknowledged, judged and written.
      const [before]: Pick<Finding, 'severity' | 'params'>[] = await db.query(
        'select severity, params from alarms where key = $1 for update',
        [key],
      );
      const worse = before !== undefined && alarmRank(finding) > alarmRank(before);
      const rows: { fresh: boolean }[] = await db.query(
        `insert into alarms (key, code, severity, message, params, since, seen_at) values ($1, $2, $3, $4, $5, $6, $6)
         on conflict (key) do update set code = excluded.code, severity = excluded.severity, message = excluded.message,
           params = excluded.params, seen_at = excluded.seen_at, ended_at = null,
           acknowledged_at = case when ${STILL_KNOWN} then alarms.acknowledged_at end,
           acknowledged_by = case when ${STILL_KNOWN} then alarms.acknowledged_by end,
           since = case when alarms.ended_at is null then alarms.since else excluded.since end
         returning since = seen_at as fresh`,
        [key, code, severity, message, JSON.stringify(params), now, worse],
      );
      if (rows[0]?.fresh) {
        raised.push(finding);
      }
    }
    const [ended] = (await db.query(
      `update alarms set ended_at = $1 where ended_at is null and starts_with(key, $2) and key <> all($3) returning key`,
      [now, `${scope}/`, [...findings.map(({ key }) => key), ...unsure]],
    )) as [{ key: string }[], number];
    return { raised, ended: ended.map(({ key }) => key) };
  });
}

/** The open ones and those that ended within a week, the open ones first, newest first. */
export async function listAlarms(database: Database, now: Date): Promise<Alarm[]> {
  const rows = await database
    .getRepository(AlarmEntity)
    .createQueryBuilder('alarm')
    .where('alarm.endedAt is null or alarm.endedAt > :after', { after: new Date(now.getTime() - ENDED_SHOWN_MS) })
    .orderBy('alarm.endedAt is not null')
    .addOrderBy('alarm.since', 'DESC')
    .limit(200)
    .getMany();
  return rows.map(alarmView);
}

export function alarmView(row: AlarmEntity): Alarm {
  return {
    key: row.key,
    code: row.code as Alarm['code'],
    severity: row.severity,
    message: row.message,
    params: row.params,
    since: row.since.toISOString(),
    seenAt: row.seenAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
    acknowledgedAt: row.acknowledgedAt?.toISOString() ?? null,
    acknowledgedBy: row.acknowledgedBy,
    mailedAt: row.mailedAt?.toISOString() ?? null,
  };
}

/** Forgets what has long been over. */
export async function cleanAlarms(database: Database, now: Date): Promise<number> {
  const [, removed] = (await database.query('delete from alarms where ended_at < $1', [
    new Date(now.getTime() - ENDED_KEPT_MS),
  ])) as [unknown, number];
  return removed;
}
