import type { Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { bounded } from '../bounded.js';
import { imageMissing } from '../image-missing.js';
import { conflict } from '../ownership.js';
import type { Attachment, EventKind } from '../port.js';
import { CallLog, type EngineMethod } from './call-log.js';
import type { FakeContainer } from './fake-container.js';
import { FakeEvents } from './fake-events.js';
import { byCommand, type Behaviour, type FakeProcess, type ProcessContext } from './processes.js';
import { World } from './world.js';

export interface FakeEngineOptions {
  /** References the engine has; each gets an id of its own. */
  images?: readonly string[];
  behaviour?: Behaviour;
  latencyMs?: Partial<Record<EngineMethod, number>>;
}

/** The host of the in-memory engine: what runs on it, and what tests do to it behind the engine's back. */
export class FakeHost {
  /** Counts and records every call, and fails those a test asks to fail. */
  readonly log: CallLog;
  behaviour: Behaviour;
  protected readonly world = new World();
  protected readonly told = new FakeEvents(() => this.log.down);
  private clock = Date.UTC(2026, 0, 1);

  constructor({ images = [], behaviour = byCommand, latencyMs = {} }: FakeEngineOptions = {}) {
    this.log = new CallLog(latencyMs);
    this.behaviour = behaviour;
    for (const image of images) {
      this.addImage(image);
    }
  }

  /** With what it sets for whatever runs of it. */
  addImage(reference: string, environment: Readonly<Record<string, string>> = {}): string {
    const id = `sha256:${this.world.newId()}`;
    this.world.images.set(reference, id);
    this.world.environments.set(id, environment);
    return id;
  }

  removeImage(reference: string): void {
    this.world.images.delete(reference);
  }

  /** Every name on the engine, whoever owns it. */
  names(): { containers: string[]; networks: string[]; volumes: string[] } {
    const { containers, networks, volumes } = this.world;
    return {
      containers: [...containers.keys()].sort(),
      networks: [...networks.keys()].sort(),
      volumes: [...volumes.keys()].sort(),
    };
  }

  fileIn(volume: string, path: string): string | undefined {
    return this.world.volumes.get(volume)?.files.get(path)?.content.toString();
  }

  /** Whether the container runs and its process would answer a readiness probe. */
  isReady(name: string): boolean {
    const container = this.world.containers.get(name);
    return container?.status === 'running' && (this.process(container).ready?.(this.context(container)) ?? true);
  }

  /** The process ends by itself. Under `unless-stopped` it is then `restarting`, until a test starts it again. */
  exit(name: string, code: number, how: { oomKilled?: boolean } = {}): void {
    this.end(this.world.container(name), code, { ...how, stopped: false });
  }

  /** The process ends and the engine itself starts it again, as `unless-stopped` has it. */
  crash(name: string, code: number, how: { oomKilled?: boolean } = {}): void {
    this.exit(name, code, how);
    const container = this.world.container(name);
    if (container.status === 'restarting') {
      this.run(container);
    }
  }

  /** As `docker kill`: the engine counts it as wanted, so no policy starts it again. */
  kill(name: string): void {
    this.end(this.world.container(name), 137, { stopped: true });
  }

  pause(name: string): void {
    const container = this.world.container(name);
    container.status = 'paused';
    this.tell('container changed', container);
  }

  /** Another image than the one it was made for, under the same name and labels. */
  swapImage(name: string, imageId: string): void {
    this.world.container(name).imageId = imageId;
  }

  /** A volume as somebody with root on the host leaves it: gone, or with other files. */
  loseVolume(name: string): void {
    this.world.volumes.delete(name);
    this.told.tell({ kind: 'volume removed', name, containerId: null, labels: null, exitCode: null });
  }

  editFile(volume: string, path: string, content: string | null): void {
    const { files } = this.world.volume(volume);
    const file = files.get(path);
    if (content === null) {
      files.delete(path);
    } else if (file) {
      file.content = Buffer.from(content);
    }
  }

  /** The connection that tells events is lost and comes back; what happens between is told to nobody. */
  loseEvents(meanwhile: () => void = () => undefined): void {
    this.told.lose(meanwhile);
  }

  /** A host that was switched off and on: what ran with `unless-stopped` runs again, the rest stays down. */
  reboot(): void {
    const running = [...this.world.containers.values()].filter(
      ({ status }) => status === 'running' || status === 'restarting',
    );
    for (const container of running) {
      this.end(container, 137, { stopped: true });
    }
    for (const container of running.filter(({ restart }) => restart === 'unless-stopped')) {
      this.run(container);
    }
  }

  protected async call<T>(
    method: EngineMethod,
    args: readonly unknown[],
    bounds: Bounds,
    work: (signal: AbortSignal) => T | Promise<T>,
  ): Promise<T> {
    return await bounded(method, bounds, (signal) => this.log.around(method, args, signal, () => work(signal)));
  }

  protected requireImage(reference: string): string {
    const id = this.world.imageId(reference);
    if (id === null) {
      throw new DomainError('IMAGE_MISSING', {
        message: imageMissing(`No such image: ${reference}`),
        details: { status: 404, image: reference },
      });
    }
    return id;
  }

  protected attach(container: FakeContainer, attachment: Attachment): void {
    const existing = container.attachments.find(({ network }) => network === attachment.network);
    if (existing && existing.address !== attachment.address) {
      throw conflict(
        'connection',
        `${container.spec.name} to ${attachment.network}`,
        `it is not at ${attachment.address}`,
      );
    }
    if (!existing) {
      // a container that does not run only notes the network's name; whether it is there shows at the start
      const networkId = container.status === 'running' ? this.world.claim(container, attachment) : '';
      container.attachments.push({ ...attachment, networkId });
    }
  }

  protected run(container: FakeContainer): void {
    for (const attachment of container.attachments) {
      attachment.networkId = this.world.claim(container, attachment);
    }
    // one second a start: the order of starts can be read from the times, and is the same in every run
    this.clock += 1000;
    container.status = 'running';
    container.exitCode = null;
    container.oomKilled = false;
    container.startedAt = new Date(this.clock).toISOString();
    this.tell('container started', container);
    this.process(container).start?.(this.context(container));
  }

  protected end(container: FakeContainer, code: number, how: { oomKilled?: boolean; stopped: boolean }): void {
    const restarts = container.restart === 'unless-stopped' && !how.stopped;
    container.status = restarts ? 'restarting' : 'exited';
    container.exitCode = code;
    container.oomKilled = how.oomKilled ?? false;
    container.restartCount += restarts ? 1 : 0;
    if (container.oomKilled) {
      this.tell('container out of memory', container);
    }
    this.tell('container died', container);
  }

  protected tell(kind: EventKind, { id, spec, labels, exitCode }: FakeContainer): void {
    this.told.tell({
      kind,
      name: spec.name,
      containerId: id,
      labels,
      exitCode: kind === 'container died' ? exitCode : null,
    });
  }

  protected tellOfNetwork(kind: EventKind, name: string, containerId: string): void {
    this.told.tell({ kind, name, containerId, labels: null, exitCode: null });
  }

  protected process(container: FakeContainer): FakeProcess {
    return this.behaviour(this.context(container));
  }

  protected context(container: FakeContainer): ProcessContext {
    const { spec } = container;
    return {
      name: spec.name,
      image: spec.image,
      command: spec.command ?? [],
      environment: spec.environment,
      labels: container.labels,
      user: spec.user,
      stdin: container.stdin,
      file: (path) => this.world.file(container, path),
      log: (...lines) => void container.log.push(...lines),
      exit: (code, how = {}) => this.end(container, code, { ...how, stopped: false }),
    };
  }
}
