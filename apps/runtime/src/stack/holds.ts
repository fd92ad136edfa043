import { DomainError, type Hold } from '#libs/contracts';
import type { Database } from '../database/database.js';

const KEY = 'disk_hold';

export type Held = { kind: 'restart' } | { kind: 'upgrade' } | { kind: 'disk'; percent: number; since: Date };

/**
 * What the platform holds the bots for. A full disk is written down: it is as full after a restart. The end of an upgrade
 * is waited for as the spec says at the start of the process.
 */
export class Holds {
  private disk: { percent: number; since: Date } | null = null;
  private restartUntilMs = 0;
  private writing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: Pick<Database, 'sql'>,
    private readonly now: () => Date,
    private upgrade: string | null = null,
  ) {}

  /** The upgrade whose end is waited for; null once it is over, and where there is none. */
  get tradesAfter(): string | null {
    return this.upgrade;
  }

  async load(): Promise<void> {
    const [row] = await this.database.sql<{ value: { percent: number; since: string } }>(
      'select value from settings where key = $1',
      [KEY],
    );
    this.disk = row ? { percent: row.value.percent, since: new Date(row.value.since) } : null;
  }

  /** In force once it is stored; the same said again writes nothing. What is said later holds, however slow the disk. */
  async take(hold: Hold): Promise<void> {
    if (hold.kind === 'upgrade') {
      this.upgrade = this.upgrade === hold.over ? null : this.upgrade;
      return;
    }
    if (hold.kind === 'restart') {
      this.restartUntilMs = performance.now() + hold.seconds * 1_000;
      return;
    }
    const taken = this.writing.then(() => this.takeDisk(hold.percent));
    // Whoever asked for it hears of its failure; who comes next only waits for its end.
    this.writing = taken.catch(() => undefined);
    await taken;
  }

  private async takeDisk(percent: number | null): Promise<void> {
    if (percent === null) {
      if (this.disk !== null) {
        await this.database.sql('delete from settings where key = $1', [KEY]);
        this.disk = null;
      }
    } else if (this.disk === null) {
      const disk = { percent, since: this.now() };
      // Before it is stored: a disk too full for one row is held all the more.
      this.disk = disk;
      await this.database.sql(
        'insert into settings (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value',
        [KEY, disk],
      );
    } else {
      this.disk = { ...this.disk, percent };
    }
  }

  /** What holds more first: before the end of an upgrade nothing is sent at all; a disk lasts longer than a restart. */
  held(): Held | null {
    if (this.upgrade !== null) {
      return { kind: 'upgrade' };
    }
    if (this.disk !== null) {
      return { kind: 'disk', ...this.disk };
    }
    return performance.now() < this.restartUntilMs ? { kind: 'restart' } : null;
  }

  get diskFull(): { percent: number; since: Date } | null {
    return this.disk;
  }

  /** Before anything new is begun. Throws DISK_FULL, or UNAVAILABLE before a restart and the end of an upgrade. */
  requireFree(): void {
    const held = this.held();
    if (held?.kind === 'disk') {
      throw new DomainError('DISK_FULL', { details: { percent: held.percent } });
    }
    if (held?.kind === 'restart') {
      throw new DomainError('UNAVAILABLE', { message: 'The stack is about to restart. Try again in a moment.' });
    }
    this.requireUpgraded();
  }

  /** Before any order is sent, for whatever reason. Throws UNAVAILABLE before the end of an upgrade. */
  requireUpgraded(): void {
    if (this.upgrade !== null) {
      throw new DomainError('UNAVAILABLE', {
        message: 'The stack is being upgraded, and trades once that is over. Try again in a moment.',
      });
    }
  }
}
