import { Redis } from 'ioredis';
import type { Logger } from '#libs/telemetry';

/**
 * The stack's Redis: newest prices, and live events for other processes of the stack. Nothing depends on it but
 * /ready: a write that fails is dropped, the next one tries again.
 */
export class Cache {
  private readonly redis: Redis;

  constructor({ host, port, password, logger }: { host: string; port: number; password: string; logger: Logger }) {
    this.redis = new Redis({
      host,
      port,
      password,
      connectionName: 'aviary-runtime',
      // A command waits for a connection a moment, so that the first /ready need not fail.
      maxRetriesPerRequest: 1,
      commandTimeout: 2_000,
      retryStrategy: (times) => Math.min(15 * 1.5 ** times, 1_000),
    });
    let away = false;
    this.redis.on('error', (error: Error) => {
      if (!away) {
        away = true;
        logger.warn({ reason: error.message }, 'redis is away');
      }
    });
    this.redis.on('ready', () => {
      away = false;
    });
  }

  /** Writes and reads back; throws when Redis cannot do both. */
  async probe(): Promise<void> {
    const mark = String(Date.now());
    await this.redis.set('aviary:ready', mark);
    if ((await this.redis.get('aviary:ready')) === null) {
      throw new Error('Redis lost what was written');
    }
  }

  publishPrice(pair: string, price: string, at: Date): void {
    if (this.redis.status !== 'ready') {
      return;
    }
    const value = JSON.stringify({ pair, price, at: at.toISOString() });
    this.redis
      .pipeline()
      .set(`aviary:price:${pair}`, value, 'EX', 60)
      .publish('aviary:live', value)
      .exec()
      .catch(() => {
        // The price in memory is the truth; Redis only repeats it.
      });
  }

  close(): void {
    this.redis.disconnect();
  }
}
