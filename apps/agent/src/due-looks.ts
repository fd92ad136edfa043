import { setTimeout as pause } from 'node:timers/promises';
import { Semaphore } from '#libs/async';
import { NOTHING_DUE } from './timers.js';

interface Due {
  /** On the monotonic clock. */
  at: number;
  /** Of a stack that is unwell or was looked at before: it may take seconds, and nobody's repair waits for it. */
  again: boolean;
}

interface LookSettings {
  /** Looks at one stack; what it throws is told by the next turn, and the stack looked at again. */
  look: (tenantId: string, signal: AbortSignal) => Promise<void>;
  /** To the next look at a stack of which one failed. */
  againMs: number;
  /** Longest that a turn waits for the looks it began. */
  patienceMs: number;
}

const LOOKS_AT_ONCE = 4;

/** Which stacks are to be looked at and when; those that do not answer, each for seconds, keep no other waiting. */
export class DueLooks {
  private readonly slots = { first: new Semaphore(LOOKS_AT_ONCE), again: new Semaphore(LOOKS_AT_ONCE) };
  private readonly due = new Map<string, Due>();
  private readonly looking = new Map<string, Promise<void>>();
  /** Why looks failed, until a turn tells. */
  private readonly failures: unknown[] = [];

  constructor(private readonly settings: LookSettings) {}

  /** To be looked at in so many milliseconds, or sooner where that was said before. */
  mark(tenantId: string, inMs: number, again = false): void {
    const at = performance.now() + inMs;
    const known = this.due.get(tenantId);
    this.due.set(tenantId, { at: Math.min(at, known?.at ?? at), again: again && known?.again !== false });
  }

  /**
   * Begins the looks that are due. What still looks after a moment goes on beside the next turns. Throws what failed
   * since the last turn.
   */
  async turn(signal: AbortSignal): Promise<typeof NOTHING_DUE | void> {
    const now = performance.now();
    for (const [id, { at, again }] of this.due) {
      if (at <= now && !this.looking.has(id)) {
        this.due.delete(id);
        this.looking.set(id, this.begin(id, again, signal));
      }
    }
    if (this.looking.size === 0 && this.failures.length === 0) {
      return NOTHING_DUE;
    }
    const enough = new AbortController();
    await Promise.race([
      Promise.all(this.looking.values()),
      pause(this.settings.patienceMs, undefined, { signal: enough.signal }).catch(() => undefined), // Only our own abort.
    ]);
    enough.abort();
    const failures = this.failures.splice(0);
    if (failures.length > 0) {
      throw new AggregateError(failures, `${failures.length} stacks could not be looked at`, { cause: failures[0] });
    }
  }

  /** Once nothing looks any more, after the signals fired. */
  async ended(): Promise<void> {
    await Promise.all(this.looking.values());
  }

  /** Stacks that are to be looked at. */
  keys(): Iterable<string> {
    return this.due.keys();
  }

  delete(tenantId: string): void {
    this.due.delete(tenantId);
  }

  private async begin(id: string, again: boolean, signal: AbortSignal): Promise<void> {
    try {
      await this.slots[again ? 'again' : 'first'].run(() => this.settings.look(id, signal));
    } catch (error) {
      this.failures.push(error);
      this.mark(id, this.settings.againMs, true);
    } finally {
      this.looking.delete(id);
    }
  }
}
