import { DeadlineError, waitFor } from './wait.js';

export interface DrainTimes {
  /** For how long the proxy may be silent before it is left without being told; as long it may go on sending. */
  longestMs: number;
  /** So long without a new request, and nothing that was meant for this process is on its way any more. */
  quietMs: number;
}

/** Several of the proxy's looks (one a second), on a host that is short of everything. */
export const DRAIN_TIMES: DrainTimes = { longestMs: 5_000, quietMs: 300 };

/**
 * How this process leaves the balancer before it ends. The proxy asks again and again whether it is to send requests
 * here; only once it was told no does it choose another process for each, so nothing closes before that.
 */
export class Drain {
  private leaving = false;
  private readonly told = Promise.withResolvers<void>();
  private askedAt = -Infinity;
  private arrivedAt = -Infinity;

  /** The proxy asks whether new requests are welcome. */
  asked(): boolean {
    this.askedAt = performance.now();
    return !this.leaving;
  }

  /** To be called once the proxy has the answer that none is. */
  wasTold(): void {
    this.told.resolve();
  }

  /** From then on no connection is to carry another request. */
  get isLeaving(): boolean {
    return this.leaving;
  }

  /** To be called at each request of people and programs. */
  arrived(): void {
    this.arrivedAt = performance.now();
  }

  /**
   * Says no from now on. Resolves once requests come no more: true, or false where the proxy did not ask in time or goes
   * on sending. At once where it has not asked of late: it is not there, or it balances nothing.
   */
  async leave({ longestMs, quietMs }: DrainTimes): Promise<boolean> {
    this.leaving = true;
    if (performance.now() - this.askedAt > longestMs) {
      return false;
    }
    const timer = AbortSignal.timeout(longestMs);
    const silent = Promise.withResolvers<boolean>();
    timer.addEventListener('abort', () => silent.resolve(false), { once: true });
    if (!(await Promise.race([this.told.promise.then(() => true), silent.promise]))) {
      return false;
    }
    // What it had chosen us for before it read that may still be on its way, also where nothing came for long.
    const toldAt = performance.now();
    const isQuiet = (): boolean => performance.now() - Math.max(this.arrivedAt, toldAt) >= quietMs;
    try {
      return await waitFor(() => (isQuiet() ? true : undefined), {
        what: 'the end of new requests',
        deadlineMs: longestMs,
        intervalMs: quietMs,
      });
    } catch (error) {
      if (error instanceof DeadlineError) {
        return false;
      }
      throw error;
    }
  }
}
