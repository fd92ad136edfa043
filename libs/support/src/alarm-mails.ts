import { alarmRank } from '#libs/contracts';
import { AccountEntity, AlarmEntity, tx, type Database } from '#libs/db';
import { alarmNews } from './domain/alarm-news.js';
import { renderMail, type RenderedMail } from './notify/layout.js';
import type { OutboxService } from './outbox.service.js';

export interface AlarmsMailed {
  /** Keys of the alarms whose beginning or end operators were mailed. */
  open: string[];
  over: string[];
}

/**
 * Mails every operator what of the alarms is news to them: one mail for all that is open, one for all that is over.
 * Any number of processes may run it: what was told is noted in the transaction that writes the mails. Without an
 * operator nothing is noted, and the first one is told.
 */
export async function mailAlarms(
  database: Database,
  outbox: OutboxService,
  { portalUrl, now }: { portalUrl: string; now: Date },
): Promise<AlarmsMailed> {
  return tx(database, async (db) => {
    const operators = await db.findBy(AccountEntity, { role: 'operator', state: 'active' });
    if (operators.length === 0) {
      return { open: [], over: [] };
    }
    const alarms = await db
      .getRepository(AlarmEntity)
      .createQueryBuilder('alarm')
      .setLock('pessimistic_write')
      .where('alarm.endedAt is null or alarm.mailedRank is not null')
      .orderBy('alarm.key')
      .getMany();
    const open = alarms.filter((alarm) => alarmNews(alarm, now) === 'open');
    const over = alarms.filter((alarm) => alarmNews(alarm, now) === 'over');
    for (const alarm of open) {
      await db.update(AlarmEntity, { key: alarm.key }, { mailedAt: now, mailedRank: alarmRank(alarm) });
    }
    for (const { key } of over) {
      await db.update(AlarmEntity, { key }, { mailedRank: null });
    }
    for (const { email, username } of operators) {
      for (const mail of [...openMail(open, username, portalUrl), ...overMail(over, username, portalUrl)]) {
        await outbox.put(db, email, mail);
      }
    }
    return { open: open.map(({ key }) => key), over: over.map(({ key }) => key) };
  });
}

const button = (portalUrl: string) => ({ label: 'See all alarms', url: `${portalUrl}/console/alarms` });
const when = (at: Date): string => `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;

function openMail(alarms: readonly AlarmEntity[], username: string, portalUrl: string): RenderedMail[] {
  const [first] = alarms;
  if (!first) {
    return [];
  }
  const worst = alarms.some(({ severity }) => severity === 'critical') ? 'critical' : 'warning';
  return [
    renderMail({
      subject: alarms.length === 1 ? `Alarm (${worst}): ${first.key}` : `${alarms.length} alarms (${worst})`,
      greeting: `Hello ${username},`,
      paragraphs: alarms.map(({ message, since, severity }) => `Since ${when(since)}, ${severity}: ${message}`),
      button: button(portalUrl),
      notes: [
        'You get this once, again only if it gets worse, and once more when it is over. What comes and goes is told once an hour at most. Acknowledge it in the console if you know.',
      ],
      portalUrl,
    }),
  ];
}

function overMail(alarms: readonly AlarmEntity[], username: string, portalUrl: string): RenderedMail[] {
  const [first] = alarms;
  if (!first) {
    return [];
  }
  return [
    renderMail({
      subject: alarms.length === 1 ? `Over: ${first.key}` : `${alarms.length} alarms are over`,
      greeting: `Hello ${username},`,
      paragraphs: alarms.map(({ key, since, endedAt }) =>
        endedAt === null ? key : `${key}: from ${when(since)} to ${when(endedAt)}. Nothing needs to be done.`,
      ),
      button: button(portalUrl),
      notes: [],
      portalUrl,
    }),
  ];
}
