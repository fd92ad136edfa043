import { EventEmitter, once } from 'node:events';
import { Client } from 'pg';
import { backoffMs, waitFor } from '#libs/async';
import type { Logger } from '#libs/telemetry';

/** Channels that the triggers of migration `stacks` notify, with the row's id as payload. */
const CHANNELS = ['aviary_operation', 'aviary_stack'] as const;
type Channel = (typeof CHANNELS)[number];

/** A change may be missed while the listening connection is renewed, so watchers also look by themselves. */
const LOOK_EVERY_MS = 5_000;

/**
 * Tells watchers that a row changed. One listening connection for the whole process; it is renewed with back-off
 * when the database goes away, and everybody looks again then.
 */
export class ChangeFeed {
  private readonly changes = new EventEmitter().setMaxListeners(0);
  private readonly stopping = new AbortController();
  private running: Promise<void> | null = null;

  constructor(
    private readonly databaseUrl: string,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.running ??= this.listen();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /**
   * Gives `read()` now and again after each change of that row, until the caller's signal fires or `isLast` says
   * that no further change can come. Equal readings are given once.
   */
  async *watch<T>(options: {
    channel: Channel;
    id: string;
    read: () => Promise<T>;
    isLast: (value: T) => boolean;
    signal: AbortSignal;
  }): AsyncGenerator<T> {
    const { channel, id, read, isLast, signal } = options;
    let last = '';
    while (!signal.aborted) {
      const { signal: turn, end } = this.turn(signal);
      // Armed before reading: a change between the reading and the waiting must not be lost.
      const changed = Promise.race([
        once(this.changes, `${channel}:${id}`, { signal: turn }),
        once(this.changes, 'resync', { signal: turn }),
        once(AbortSignal.any([turn, AbortSignal.timeout(LOOK_EVERY_MS)]), 'abort'),
      ]).catch((error: unknown) => {
        if (!turn.aborted) {
          throw error;
        }
      });
      try {
        const value = await read();
        const text = JSON.stringify(value);
        if (text !== last) {
          last = text;
          yield value;
        }
        if (isLast(value)) {
          return;
        }
        await changed;
      } finally {
        end();
      }
    }
  }

  private turn(signal: AbortSignal): { signal: AbortSignal; end: () => void } {
    const control = new AbortController();
    return { signal: AbortSignal.any([signal, this.stopping.signal, control.signal]), end: () => control.abort() };
  }

  private async listen(): Promise<void> {
    const { signal } = this.stopping;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const client = new Client({
        connectionString: this.databaseUrl,
        application_name: 'aviary-feed',
        keepAlive: true,
      });
      try {
        const ended = new Promise<void>((resolve) => {
          client.once('end', () => resolve());
          client.once('error', (error) => {
            this.logger.warn({ err: error }, 'listening connection lost');
            resolve();
          });
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
        client.on('notification', ({ channel, payload }) => this.changes.emit(`${channel}:${payload ?? ''}`));
        await client.connect();
        await client.query(CHANNELS.map((channel) => `listen ${channel}`).join('; '));
        attempt = 0;
        this.changes.emit('resync');
        await ended;
      } catch (error) {
        this.logger.warn({ err: error, attempt }, 'cannot listen for changes, trying again');
      }
      await client.end().catch((error: unknown) => this.logger.debug({ err: error }, 'closing a listening connection'));
      await this.pause(backoffMs(Math.min(attempt, 6), 200, 10_000, Math.random()));
    }
  }

  private async pause(ms: number): Promise<void> {
    const until = performance.now() + ms;
    const { signal } = this.stopping;
    await waitFor(() => (signal.aborted || performance.now() >= until ? true : undefined), {
      what: 'pause before listening again',
      deadlineMs: ms + 1_000,
    });
  }
}
