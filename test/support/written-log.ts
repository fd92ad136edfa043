import { once } from 'node:events';
import { DomainError } from '#libs/contracts';
import type { EngineWatch, LogLine, LogWish } from '#libs/engine';

/** A log as an engine keeps it: what is there, and what is still written while somebody follows. */
export class WrittenLog {
  readonly lines: LogLine[] = [];
  readers = 0;
  asked: LogWish[] = [];
  private over = false;
  private stays = false;
  private wake = Promise.withResolvers<void>();

  write(words: string, stream: 'out' | 'err' = 'out'): void {
    const at = `2026-01-01T00:00:00.${String(this.lines.length + 1).padStart(9, '0')}Z`;
    this.lines.push({ at, stream, text: words });
    this.stir();
  }

  /** The process ends; whoever asks again finds the next one, or while it stays ended the same. */
  end({ stays = false } = {}): void {
    this.over = true;
    this.stays = stays;
    this.stir();
  }

  async *read(wish: LogWish, signal: AbortSignal): AsyncGenerator<LogLine> {
    this.asked.push(wish);
    this.over = this.stays;
    this.readers += 1;
    try {
      let next = Math.max(0, this.lines.length - wish.tail);
      for (;;) {
        for (; next < this.lines.length; next += 1) {
          const line = this.lines[next];
          if (line && (wish.after === undefined || line.at > wish.after)) {
            yield line;
          }
        }
        if (!wish.follow || this.over) {
          return;
        }
        await Promise.race([this.wake.promise, once(signal, 'abort')]);
        signal.throwIfAborted();
      }
    } finally {
      this.readers -= 1;
    }
  }

  private stir(): void {
    this.wake.resolve();
    this.wake = Promise.withResolvers<void>();
  }
}

/** An engine that has these containers' logs and nothing else. */
export function engineWithLogs(logs: Readonly<Record<string, WrittenLog>>): EngineWatch {
  return {
    running: () => Promise.resolve([]),
    diskUse: () => Promise.resolve([]),
    async *log(name, _owner, wish, signal) {
      const log = logs[name];
      if (!log) {
        throw new DomainError('NOT_FOUND', { message: `There is no container ${name}.` });
      }
      yield* log.read(wish, signal);
    },
  };
}
