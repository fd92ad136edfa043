/** From one restart to the next: each cuts everybody's connections, and what the first did not mend, few others will. */
const FIRST_PAUSE_MS = 15 * 60_000;
const LONGEST_PAUSE_MS = 6 * 3_600_000;
/** So long without a restart, and the next one is the first again. */
const FORGOTTEN_MS = 2 * LONGEST_PAUSE_MS;

const minute = (date: Date): string => `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;

/** When something of the platform may be restarted again: at once the first time, then after pauses that double. */
export class RestartPauses {
  private restarts = 0;
  private last: Date | undefined;

  constructor(private readonly now: () => Date) {}

  due(): boolean {
    if (this.last !== undefined && this.now().getTime() - this.last.getTime() >= FORGOTTEN_MS) {
      this.restarts = 0;
      this.last = undefined;
    }
    const { next } = this;
    return next === undefined || next <= this.now();
  }

  /** To be called before it, so that one that fails counts too. */
  restarted(): void {
    this.restarts += 1;
    this.last = this.now();
  }

  /** A sentence for an alarm; empty before the first restart. */
  words(): string {
    const { last, next } = this;
    return last && next ? ` It was restarted at ${minute(last)} and will be again at ${minute(next)}, if need be.` : '';
  }

  private get next(): Date | undefined {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.restarts - 1));
    return this.last && new Date(this.last.getTime() + pauseMs);
  }
}
