import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '#libs/telemetry';

/** What a turn gives that found nothing to do: it says nothing about whether the task works. */
export const NOTHING_DUE = Symbol('nothing was due');

/**
 * Runs `turn` now and again after each pause, never twice at once, until `stop` fires. A turn that fails is logged
 * and tried again at the next one; `failing` then names it for the health check. A pause that depends on how the turn
 * went is a function, asked after it. A failure stands until a turn that did something went well.
 */
export class Timers {
  private readonly failures = new Map<string, string>();
  private readonly running: Promise<void>[] = [];
  private readonly names = new Set<string>();

  constructor(
    private readonly stop: AbortSignal,
    private readonly logger: Logger,
  ) {}

  every(name: string, seconds: number | (() => number), turn: () => Promise<unknown>): void {
    this.names.add(name);
    this.running.push(this.loop(name, seconds, turn));
  }

  failing(): Record<string, string> {
    return Object.fromEntries(this.failures);
  }

  /** Every task by name, and whether its last turn failed. */
  states(): Record<string, boolean> {
    return Object.fromEntries([...this.names].map((name) => [name, this.failures.has(name)]));
  }

  async ended(): Promise<void> {
    await Promise.all(this.running);
  }

  private async loop(name: string, seconds: number | (() => number), turn: () => Promise<unknown>): Promise<void> {
    while (!this.stop.aborted) {
      try {
        if ((await turn()) !== NOTHING_DUE) {
          this.failures.delete(name);
        }
      } catch (error) {
        if (!this.stop.aborted) {
          this.failures.set(name, error instanceof Error ? error.message : String(error));
          this.logger.error({ err: error, timer: name }, 'a periodic task failed');
        }
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
