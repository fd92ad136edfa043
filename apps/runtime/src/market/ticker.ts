import type { Logger } from '#libs/telemetry';
import { isDatabaseAway } from '../database/database.js';

export interface Chore {
  name: string;
  everyMs: number;
  run: (now: Date) => Promise<void> | void;
}

/**
 * Runs the chores of the stack, each at its own pace and never twice at once. A chore that fails is logged and tried
 * again at its next turn; that the database is away is said once.
 */
export class Ticker {
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly running = new Set<Promise<void>>();
  private away = false;

  constructor(
    private readonly logger: Logger,
    private readonly chores: readonly Chore[],
  ) {}

  start(): void {
    for (const chore of this.chores) {
      let busy = false;
      const turn = (): void => {
        if (busy) {
          return;
        }
        busy = true;
        const work = this.run(chore).finally(() => {
          busy = false;
          this.running.delete(work);
        });
        this.running.add(work);
      };
      this.timers.push(setInterval(turn, chore.everyMs));
    }
  }

  private async run({ name, run }: Chore): Promise<void> {
    try {
      await run(new Date());
      this.away = false;
    } catch (error) {
      if (isDatabaseAway(error)) {
        if (!this.away) {
          this.away = true;
          this.logger.warn({ chore: name }, 'the database is away; waiting for it');
        }
        return;
      }
      this.logger.error({ err: error, chore: name }, 'a chore failed');
    }
  }

  /** No further turns; resolves when those under way are over. */
  async stop(): Promise<void> {
    this.timers.forEach((timer) => clearInterval(timer));
    await Promise.all(this.running);
  }
}
