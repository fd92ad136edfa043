import { appendAudit } from '#libs/audit';
import { actorName, DomainError, type Actor, type Alarm } from '#libs/contracts';
import { AlarmEntity, tx, type Database } from '#libs/db';
import { alarmView } from '#libs/jobs';

/**
 * Notes that an operator knows of an open alarm: it is no longer counted nor mailed, until it is over or gets worse.
 * Acknowledged again it stays as it is. Throws NOT_FOUND without such an alarm, WRONG_STATE when it is over.
 */
export async function acknowledgeAlarm(
  database: Database,
  actor: Actor,
  { key, now }: { key: string; now: Date },
): Promise<Alarm> {
  if (actor.kind === 'subscriber') {
    throw new DomainError('FORBIDDEN');
  }
  return tx(database, async (db) => {
    const alarm = await db.findOne(AlarmEntity, { where: { key }, lock: { mode: 'pessimistic_write' } });
    if (!alarm) {
      throw new DomainError('NOT_FOUND', { message: `There is no alarm ${key}.` });
    }
    if (alarm.endedAt !== null) {
      throw new DomainError('WRONG_STATE', { message: `The alarm ${key} is over.` });
    }
    if (alarm.acknowledgedAt !== null) {
      return alarmView(alarm);
    }
    const change = { acknowledgedAt: now, acknowledgedBy: actorName(actor) };
    await db.update(AlarmEntity, { key }, change);
    await appendAudit(db, {
      actor,
      action: 'alarm.acknowledge',
      target: { kind: 'alarm', id: key },
      after: { code: alarm.code, since: alarm.since.toISOString() },
    });
    return alarmView(Object.assign(alarm, change));
  });
}
