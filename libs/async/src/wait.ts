import { setTimeout as delay } from 'node:timers/promises';

/** How long a piece of work may take and who may end it sooner. Both reach every engine call. */
export interface Bounds {
  deadlineMs: number;
  signal?: AbortSignal;
}

export class DeadlineError extends Error {
  constructor(what: string, deadlineMs: number, cause?: unknown) {
    super(`${what} did not happen within ${Math.round(deadlineMs)} ms`, cause === undefined ? undefined : { cause });
    this.name = 'DeadlineError';
  }
}

/** Beyond this a timer fires at once instead of late. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

function timeoutSignal(deadlineMs: number): AbortSignal {
  return AbortSignal.timeout(Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(deadlineMs))));
}

/** A signal that fires at the deadline or when the caller's own signal does. */
export function boundedSignal({ deadlineMs, signal }: Bounds): AbortSignal {
  const timeout = timeoutSignal(deadlineMs);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

export interface WaitOptions extends Bounds {
  what: string;
  /** First pause between probes (20); it doubles up to `maxIntervalMs`, which is 500 or the first pause where that is longer. */
  intervalMs?: number;
  maxIntervalMs?: number;
}

/**
 * Calls `probe` until it gives something other than undefined. A probe that throws counts as "not yet"; its last
 * error is the cause of the DeadlineError. Rejects with the signal's reason when the caller aborts.
 */
export async function waitFor<T>(
  probe: (signal: AbortSignal) => Promise<T | undefined> | T | undefined,
  options: WaitOptions,
): Promise<T> {
  const { what, deadlineMs, signal, intervalMs = 20, maxIntervalMs = Math.max(500, intervalMs) } = options;
  const bounded = boundedSignal({ deadlineMs, ...(signal ? { signal } : {}) });
  const until = performance.now() + deadlineMs;
  let pause = intervalMs;
  let last: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const result = await probe(bounded);
      if (result !== undefined) {
        return result;
      }
    } catch (error) {
      last = error;
    }
    signal?.throwIfAborted();
    const left = until - performance.now();
    if (left <= 0) {
      throw new DeadlineError(what, deadlineMs, last);
    }
    await delay(Math.min(pause, left), undefined, signal ? { signal } : {}).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
    pause = Math.min(pause * 2, maxIntervalMs);
  }
}

/** Runs `work` with a signal that fires at the deadline; the deadline reads as a DeadlineError of `what`. */
export async function withDeadline<T>(
  what: string,
  bounds: Bounds,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = timeoutSignal(bounds.deadlineMs);
  const signal = bounds.signal ? AbortSignal.any([bounds.signal, timeout]) : timeout;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    const reason: unknown = signal.reason;
    reject(
      timeout.aborted && !bounds.signal?.aborted
        ? new DeadlineError(what, bounds.deadlineMs, reason)
        : reason instanceof Error
          ? reason
          : new Error(`${what} was aborted`, { cause: reason }),
    );
  };
  if (signal.aborted) {
    onAbort();
  } else {
    signal.addEventListener('abort', onAbort, { once: true });
  }
  try {
    return await Promise.race([work(signal), aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
