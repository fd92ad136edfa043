import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { bounded } from '../bounded.js';
import type {
  Attachment,
  ContainerLimits,
  ContainerSpec,
  Engine,
  EngineEvent,
  EngineInfo,
  EngineObjects,
  FileEntry,
  HelperSpec,
  NetworkSpec,
  Owner,
  VolumeFilling,
  VolumeSpec,
} from '../port.js';
import type { EngineMethod } from './call-log.js';
import { receive, send, type Response } from './socket-protocol.js';

const RECONNECT_MS = 100;

/** An engine that another process holds (FakeEngineServer). Connects on the first call and again after a loss. */
export class SocketEngine implements Engine {
  private connection: Promise<Socket> | undefined;
  private readonly waiting = new Map<number, { settle: (response: Response) => void; lost: () => void }>();
  private lastId = 0;

  constructor(private readonly path: string) {}

  async close(): Promise<void> {
    const connection = this.connection;
    this.connection = undefined;
    (await connection)?.destroy();
  }

  info(bounds: Bounds): Promise<EngineInfo> {
    return this.call('info', [], bounds);
  }
  observe(owner: Owner, bounds: Bounds): Promise<EngineObjects> {
    return this.call('observe', [owner], bounds);
  }
  imageId(reference: string, bounds: Bounds): Promise<string | null> {
    return this.call('imageId', [reference], bounds);
  }
  imageEnvironment(reference: string, bounds: Bounds): Promise<Readonly<Record<string, string>> | null> {
    return this.call('imageEnvironment', [reference], bounds);
  }
  createNetwork(spec: NetworkSpec, bounds: Bounds): Promise<void> {
    return this.call('createNetwork', [spec], bounds);
  }
  removeNetwork(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    return this.call('removeNetwork', [name, owner], bounds);
  }
  createVolume(spec: VolumeSpec, bounds: Bounds): Promise<void> {
    return this.call('createVolume', [spec], bounds);
  }
  removeVolume(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    return this.call('removeVolume', [name, owner], bounds);
  }
  createContainer(spec: ContainerSpec, bounds: Bounds): Promise<void> {
    return this.call('createContainer', [spec], bounds);
  }
  putFiles(container: string, directory: string, files: readonly FileEntry[], bounds: Bounds): Promise<void> {
    return this.call('putFiles', [container, directory, files], bounds);
  }
  fillVolumes(filling: VolumeFilling, bounds: Bounds): Promise<void> {
    return this.call('fillVolumes', [filling], bounds);
  }
  startContainer(name: string, bounds: Bounds): Promise<void> {
    return this.call('startContainer', [name], bounds);
  }
  unpauseContainer(name: string, bounds: Bounds): Promise<void> {
    return this.call('unpauseContainer', [name], bounds);
  }
  stopContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    return this.call('stopContainer', [name, graceSeconds], bounds);
  }
  restartContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    return this.call('restartContainer', [name, graceSeconds], bounds);
  }
  removeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    return this.call('removeContainer', [name, owner], bounds);
  }
  remakeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    return this.call('remakeContainer', [name, owner], bounds);
  }
  updateLimits(name: string, limits: ContainerLimits, bounds: Bounds): Promise<void> {
    return this.call('updateLimits', [name, limits], bounds);
  }
  setRestart(name: string, restart: 'unless-stopped' | 'no', bounds: Bounds): Promise<void> {
    return this.call('setRestart', [name, restart], bounds);
  }
  connectNetwork(container: string, attachment: Attachment, bounds: Bounds): Promise<void> {
    return this.call('connectNetwork', [container, attachment], bounds);
  }
  disconnectNetwork(container: string, network: string, bounds: Bounds): Promise<void> {
    return this.call('disconnectNetwork', [container, network], bounds);
  }
  readFiles(container: string, directory: string, bounds: Bounds): Promise<FileEntry[]> {
    return this.call('readFiles', [container, directory], bounds);
  }
  logTail(container: string, lines: number, bounds: Bounds): Promise<string[]> {
    return this.call('logTail', [container, lines], bounds);
  }
  runOnce(spec: HelperSpec, bounds: Bounds): Promise<{ exitCode: number; output: string }> {
    return this.call('runOnce', [spec], bounds);
  }

  async *events(owner: Owner, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    while (!signal.aborted) {
      const waiting: EngineEvent[] = [];
      const wake = new EventEmitter();
      let lost = false;
      this.lastId += 1;
      const id = this.lastId;
      this.waiting.set(id, {
        settle: (response) => {
          if ('event' in response) {
            const { event } = response;
            // It came as text.
            waiting.push('at' in event ? { ...event, at: new Date(event.at) } : event);
            wake.emit('more');
          }
        },
        lost: () => {
          lost = true;
          wake.emit('more');
        },
      });
      try {
        const socket = await (this.connection ??= this.open());
        send(socket, { id, follow: owner });
        while (!signal.aborted && (!lost || waiting.length > 0)) {
          const event = waiting.shift();
          if (event) {
            yield event;
          } else {
            await once(wake, 'more', { signal });
          }
        }
        send(socket, { id, abort: true });
      } catch (error) {
        if (!signal.aborted && !(error instanceof DomainError)) {
          throw error;
        }
        this.connection = undefined;
      } finally {
        this.waiting.delete(id);
      }
      if (!signal.aborted) {
        yield { kind: 'lost', reason: 'connection lost' };
        await pause(RECONNECT_MS);
      }
    }
  }

  private async call<T>(method: EngineMethod, args: unknown[], bounds: Bounds): Promise<T> {
    return await bounded(method, bounds, async (signal) => {
      const socket = await (this.connection ??= this.open());
      signal.throwIfAborted();
      this.lastId += 1;
      const id = this.lastId;
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      const abort = (): void => send(socket, { id, abort: true });
      this.waiting.set(id, {
        settle: (response) => {
          if (!response.ok) {
            reject(new DomainError(response.code, { message: response.message, details: response.details }));
          } else if ('value' in response) {
            resolve(response.value as T);
          } else {
            // What answers nothing is written without a value.
            resolve(undefined as T);
          }
        },
        lost: () => reject(unreachable(method)),
      });
      signal.addEventListener('abort', abort, { once: true });
      send(socket, { id, method, args, deadlineMs: bounds.deadlineMs });
      try {
        return await promise;
      } finally {
        signal.removeEventListener('abort', abort);
        this.waiting.delete(id);
      }
    });
  }

  private async open(): Promise<Socket> {
    const socket = connect(this.path);
    const lose = (): void => {
      this.connection = undefined;
      for (const { lost } of this.waiting.values()) {
        lost();
      }
    };
    return await new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(socket));
      socket.on('error', (error) => reject(unreachable('connect', error)));
      socket.on('close', lose);
      receive<Response>(socket, (response) => this.waiting.get(response.id)?.settle(response));
    });
  }
}

function unreachable(method: string, cause?: Error): DomainError {
  return new DomainError('ENGINE_UNREACHABLE', {
    details: { what: method, reason: cause?.message ?? 'connection lost' },
    cause,
  });
}
