import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { DeadlineError } from './wait.js';

/** The least pace over the time that is waited for a reader: 64 KiB/s. Who is slower holds what others wait for. */
const LEAST_BYTES_PER_MS = 65.536;
/** How late a stall is noticed at most, as a part of its time. */
const LOOKS = 10;

/**
 * How much longer a reader may let wait. Waiting spends it, what is taken gives it back at the least pace; a source that
 * is slow costs its reader nothing.
 */
class Patience {
  private left: number;
  private waitsSince: number | undefined;

  constructor(private readonly most: number) {
    this.left = most;
  }

  took(bytes: number): void {
    this.left = Math.min(this.most, this.left + bytes / LEAST_BYTES_PER_MS);
  }

  waits(now: number): void {
    this.waitsSince = now;
  }

  goesOn(now: number): void {
    this.left -= now - (this.waitsSince ?? now);
    this.waitsSince = undefined;
  }

  isOver(now: number): boolean {
    return this.waitsSince !== undefined && this.left <= now - this.waitsSince;
  }
}

/**
 * Writes all of it at the pace of who takes it; the end is the caller's to tell. Throws DeadlineError where nothing was
 * taken for so long, or for longer less than 64 KiB/s, the signal's reason, and what the source fails with. Whoever is
 * paused hears of no end either, so each process on the way has to measure for itself.
 */
export async function pour(
  source: AsyncIterable<Uint8Array>,
  to: Writable,
  { stalledMs, signal }: { stalledMs: number; signal: AbortSignal },
): Promise<void> {
  const patience = new Patience(stalledMs);
  const stalled = new AbortController();
  // One of each for the whole of it: a large archive stalls a hundred thousand times.
  const ended = AbortSignal.any([signal, stalled.signal]);
  const looks = setInterval(() => {
    if (patience.isOver(performance.now())) {
      stalled.abort(new DeadlineError('reading on', stalledMs));
    }
  }, stalledMs / LOOKS);
  try {
    for await (const chunk of source) {
      ended.throwIfAborted();
      patience.took(chunk.length);
      if (to.write(chunk)) {
        continue;
      }
      patience.waits(performance.now());
      await drained(to, ended);
      patience.goesOn(performance.now());
    }
  } finally {
    clearInterval(looks);
  }
}

async function drained(to: Writable, ended: AbortSignal): Promise<void> {
  try {
    await once(to, 'drain', { signal: ended });
  } catch (error) {
    ended.throwIfAborted();
    throw error;
  }
}
