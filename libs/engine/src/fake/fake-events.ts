import { EventEmitter, once } from 'node:events';
import { provesOwner } from '../ownership.js';
import type { EngineEvent, ObjectEvent, Owner } from '../port.js';

/** Tells what happens in the in-memory engine, to whoever follows at that moment. */
export class FakeEvents {
  private readonly changes = new EventEmitter().setMaxListeners(0);
  private away = false;

  constructor(private readonly isDown: () => boolean) {}

  tell(event: Omit<ObjectEvent, 'at'>): void {
    if (!this.away && !this.isDown()) {
      this.changes.emit('event', { ...event, at: new Date() });
    }
  }

  lose(meanwhile: () => void): void {
    this.changes.emit('event', { kind: 'lost', reason: 'connection lost' } satisfies EngineEvent);
    this.away = true;
    try {
      meanwhile();
    } finally {
      this.away = false;
    }
    this.changes.emit('event', { kind: 'resync' } satisfies EngineEvent);
  }

  async *follow(owner: Owner, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const waiting: EngineEvent[] = [{ kind: 'resync' }];
    const wake = new EventEmitter();
    const collect = (event: EngineEvent): void => {
      if (!('labels' in event) || event.labels === null || provesOwner(event.labels, owner)) {
        waiting.push(event);
        wake.emit('more');
      }
    };
    this.changes.on('event', collect);
    try {
      while (!signal.aborted) {
        const event = waiting.shift();
        if (event) {
          yield event;
        } else {
          await once(wake, 'more', { signal }).catch((error: unknown) => {
            if (!signal.aborted) {
              throw error;
            }
          });
        }
      }
    } finally {
      this.changes.off('event', collect);
    }
  }
}
