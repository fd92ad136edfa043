import { Redis } from 'ioredis';
import type { Logger } from '#libs/telemetry';

export interface Count {
  count: number;
  /** Until the window ends. */
  resetSeconds: number;
}

/** Counts hits per key in fixed windows. */
export interface RateCounter {
  hit(key: string, windowSeconds: number): Promise<Count>;
  close(): Promise<void>;
}

/** Above this many keys, those whose window ended are dropped. */
const SWEEP_ABOVE = 10_000;

export class MemoryCounter implements RateCounter {
  private readonly windows = new Map<string, { count: number; endsAt: number }>();

  constructor(private readonly now: () => number = Date.now) {}

  hit(key: string, windowSeconds: number): Promise<Count> {
    const now = this.now();
    const open = this.windows.get(key);
    const window = open && open.endsAt > now ? open : { count: 0, endsAt: now + windowSeconds * 1_000 };
    window.count += 1;
    this.windows.set(key, window);
    if (this.windows.size > SWEEP_ABOVE) {
      this.sweep(now);
    }
    return Promise.resolve({ count: window.count, resetSeconds: Math.ceil((window.endsAt - now) / 1_000) });
  }

  close(): Promise<void> {
    this.windows.clear();
    return Promise.resolve();
  }

  private sweep(now: number): void {
    for (const [key, { endsAt }] of this.windows) {
      if (endsAt <= now) {
        this.windows.delete(key);
      }
    }
  }
}

/** One round trip; the expiry is set with the first hit, so a key cannot stay for ever. */
const HIT = `local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { n, redis.call('PTTL', KEYS[1]) }`;

/** Longer than a healthy Redis ever takes, short enough that nobody notices a dead one. */
const REDIS_TIMEOUT_MS = 150;

/**
 * Counts in Redis, so that all replicas share the limits; while Redis does not answer, each counts for itself. Nobody
 * is refused or slowed because Redis is away. Logged once per change, not per request.
 */
export class RedisCounter implements RateCounter {
  private readonly redis: Redis;
  private readonly local = new MemoryCounter();
  private away = false;

  constructor(
    url: string,
    private readonly prefix: string,
    private readonly logger: Logger,
  ) {
    this.redis = new Redis(url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 1_000,
      commandTimeout: REDIS_TIMEOUT_MS,
      retryStrategy: (attempt) => Math.min(200 * 2 ** Math.min(attempt, 5), 5_000),
    });
    // Without a listener each lost connection would be thrown; `hit` reports the change of state instead.
    this.redis.on('error', (error: Error) => this.note(error));
  }

  async hit(key: string, windowSeconds: number): Promise<Count> {
    if (this.redis.status !== 'ready') {
      return this.local.hit(key, windowSeconds);
    }
    try {
      const answer = await this.redis.eval(HIT, 1, `${this.prefix}:${key}`, windowSeconds * 1_000);
      const [count, ttl] = answer as [number, number];
      this.note(null);
      return { count, resetSeconds: Math.max(1, Math.ceil(ttl / 1_000)) };
    } catch (error) {
      this.note(error);
      return this.local.hit(key, windowSeconds);
    }
  }

  close(): Promise<void> {
    this.redis.disconnect();
    return this.local.close();
  }

  /** For readiness details: counting in this process only is a degradation, not an outage. */
  get available(): boolean {
    return this.redis.status === 'ready' && !this.away;
  }

  private note(error: unknown): void {
    const away = error !== null;
    if (away !== this.away) {
      this.away = away;
      this.logger.warn(away ? { err: error } : {}, away ? 'Redis does not answer, counting locally' : 'Redis is back');
    }
  }
}
