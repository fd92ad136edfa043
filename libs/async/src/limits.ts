/** At most `slots` pieces of work at once; the rest wait in order. */
export class Semaphore {
  private free: number;
  private readonly queue: (() => void)[] = [];

  constructor(slots: number) {
    this.free = slots;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) {
      this.free -= 1;
    } else {
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = this.queue.shift();
      if (next) {
        next();
      } else {
        this.free += 1;
      }
    }
  }
}

/** One piece of work at a time per key, in order of arrival. */
export class KeyedMutex {
  private readonly tails = new Map<string, Promise<unknown>>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.catch(() => undefined);
    this.tails.set(key, settled);
    try {
      return await mine;
    } finally {
      if (this.tails.get(key) === settled) {
        this.tails.delete(key);
      }
    }
  }
}

/** Exponential back-off with full jitter (Brooker, "Exponential Backoff and Jitter", 2015). `random` is in [0, 1). */
export function backoffMs(attempt: number, baseMs: number, maxMs: number, random: number): number {
  return Math.floor(Math.min(maxMs, baseMs * 2 ** attempt) * random);
}
