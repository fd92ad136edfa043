import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '#libs/telemetry';

/** What a turn gives that found nothing to do: it says nothing about whether the task works. */
export const NOTHING_DUE = Symbol('nothing was due');

/** Longer than any turn takes that ends: an order of certificates waits some ten minutes for a name to be seen. */
const LONGEST_MS = 15 * 60_000;

/**
 * Runs `turn` now and again after each pause, never twice at once, until `stop` fires. A turn that fails is logged
 * and tried again at the next one; `failing` then names it for the health check. A pause that depends on how the turn
 * went is a function, asked after it. A failure stands until a turn that did something went well. A turn that does not end
 * is a failure too, from a while after its beginning on; it is not begun again beside itself.
 */
export class Timers {
  private readonly failures = new Map<string, string>();
  private readonly running: Promise<void>[] = [];
  /** What goes on beside its timer. */
  private readonly aside = new Set<Promise<unknown>>();
  private readonly names = new Set<string>();

  constructor(
    private readonly stop: AbortSignal,
    private readonly logger: Pick<Logger, 'error'>,
    private readonly longestMs = LONGEST_MS,
  ) {}

  every(name: string, seconds: number | (() => number), turn: () => Promise<unknown>): void {
    this.names.add(name);
    this.running.push(this.loop(name, seconds, turn));
  }

  /**
   * The same for work that may take hours and is then no failure: a turn begins it, those after it tell how it went and
   * begin it again. It is told by its signal to end after `longestMs`, and is a failure from then on.
   */
  beside(
    name: string,
    { seconds, longestMs }: { seconds: number; longestMs: number },
    work: (signal: AbortSignal) => Promise<unknown>,
  ): void {
    let since: number | null = null;
    let before: Promise<unknown> = Promise.resolve(NOTHING_DUE);
    this.every(name, seconds, async () => {
      if (since !== null) {
        if (performance.now() - since > longestMs) {
          throw new Error('It has been at work for longer than it may.');
        }
        return NOTHING_DUE;
      }
      const told = before;
      since = performance.now();
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(new Error('It took longer than it may.')), longestMs).unref();
      const mine = work(AbortSignal.any([this.stop, late.signal])).finally(() => {
        clearTimeout(timer);
        since = null;
        this.aside.delete(mine);
      });
      mine.catch(() => undefined); // Told by the next turn, not before.
      this.aside.add(mine);
      before = mine;
      return told;
    });
  }

  failing(): Record<string, string> {
    return Object.fromEntries(this.failures);
  }

  /** Every task by name, and whether its last turn failed or does not end. */
  states(): Record<string, boolean> {
    return Object.fromEntries([...this.names].map((name) => [name, this.failures.has(name)]));
  }

  async ended(): Promise<void> {
    await Promise.all(this.running);
    await Promise.allSettled(this.aside);
  }

  private async loop(name: string, seconds: number | (() => number), turn: () => Promise<unknown>): Promise<void> {
    while (!this.stop.aborted) {
      const since = new Date().toISOString();
      const wedged = setTimeout(() => {
        this.failures.set(name, `It has been at work since ${since} and does not end.`);
        this.logger.error({ timer: name, since }, 'a periodic task does not end');
      }, this.longestMs).unref();
      try {
        if ((await turn()) !== NOTHING_DUE) {
          this.failures.delete(name);
        }
      } catch (error) {
        if (!this.stop.aborted) {
          this.failures.set(name, error instanceof Error ? error.message : String(error));
          this.logger.error({ err: error, timer: name }, 'a periodic task failed');
        }
      } finally {
        clearTimeout(wedged);
      }
      // Rejects only because of `stop`, which the loop's own condition sees.
      await pause((typeof seconds === 'number' ? seconds : seconds()) * 1_000, undefined, { signal: this.stop }).catch(
        (error: unknown) => {
          if (!this.stop.aborted) {
            throw error;
          }
        },
      );
    }
  }
}
