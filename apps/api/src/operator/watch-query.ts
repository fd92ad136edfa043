import type { Actor, Alarm, AlarmList, Duties } from '#libs/contracts';
import type { Database } from '#libs/db';
import { listAlarms, readDuties } from '#libs/jobs';
import { acknowledgeAlarm } from '#libs/support';

export class WatchQuery {
  constructor(
    private readonly database: Database,
    private readonly now: () => Date,
  ) {}

  async alarms(): Promise<AlarmList> {
    return { items: await listAlarms(this.database, this.now()) };
  }

  acknowledge(actor: Actor, key: string): Promise<Alarm> {
    return acknowledgeAlarm(this.database, actor, { key, now: this.now() });
  }

  duties(): Promise<Duties> {
    return readDuties(this.database, this.now());
  }
}
