import { setTimeout as delay } from 'node:timers/promises';
import type { Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { bounded } from '../bounded.js';
import {
  checkContainerSpec,
  checkFiles,
  checkFilling,
  checkHelperSpec,
  checkLabels,
  containerLabels,
} from '../checks.js';
import { imageMissing } from '../image-missing.js';
import { assertOwned, assertSame, conflict, ownerOf, provesOwner } from '../ownership.js';
import type {
  Attachment,
  ContainerLimits,
  ContainerSpec,
  Engine,
  EngineInfo,
  EngineObjects,
  FileEntry,
  HelperSpec,
  NetworkSpec,
  Owner,
  VolumeFilling,
  VolumeSpec,
} from '../port.js';
import { CallLog, type EngineMethod } from './call-log.js';
import { byCommand, type Behaviour, type FakeProcess, type ProcessContext } from './processes.js';
import { asContainer, newContainer, stateOf, type FakeContainer } from './fake-container.js';
import { networkState, refused, World, type FakeVolume } from './world.js';

export interface FakeEngineOptions {
  /** References the engine has; each gets an id of its own. */
  images?: readonly string[];
  behaviour?: Behaviour;
  latencyMs?: Partial<Record<EngineMethod, number>>;
}

/** The longest a timer can be. */
const FOREVER_MS = 2 ** 31 - 1;

/** An engine in memory with the semantics of a real one, as far as the contract suite shows them; nothing leaves the process. */
export class FakeEngine implements Engine {
  /** Counts and records every call, and fails those a test asks to fail. */
  readonly log: CallLog;
  behaviour: Behaviour;
  private readonly world = new World();
  private clock = Date.UTC(2026, 0, 1);

  constructor({ images = [], behaviour = byCommand, latencyMs = {} }: FakeEngineOptions = {}) {
    this.log = new CallLog(latencyMs);
    this.behaviour = behaviour;
    for (const image of images) {
      this.addImage(image);
    }
  }

  // --- what tests do to it

  addImage(reference: string): string {
    const id = `sha256:${this.world.newId()}`;
    this.world.images.set(reference, id);
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

  // --- the port

  async info(bounds: Bounds): Promise<EngineInfo> {
    return await this.call('info', [], bounds, () => ({
      id: 'in-memory',
      version: '0.0.0-fake',
      apiVersion: '1.41',
      minApiVersion: '1.12',
      cpus: 8,
      memoryBytes: 32 * 1024 ** 3,
      dataRoot: '/nowhere',
      cgroupVersion: '1',
      liveRestore: false,
    }));
  }

  async observe(owner: Owner, bounds: Bounds): Promise<EngineObjects> {
    return await this.call('observe', [owner], bounds, () => ({
      containers: [...this.world.containers.values()].filter(({ labels }) => provesOwner(labels, owner)).map(stateOf),
      networks: [...this.world.networks.values()]
        .filter(({ spec }) => provesOwner(spec.labels, owner))
        .map(networkState),
      volumes: [...this.world.volumes]
        .filter(([, { labels }]) => provesOwner(labels, owner))
        .map(([name, { labels }]) => ({ name, labels: { ...labels } })),
    }));
  }

  async imageId(reference: string, bounds: Bounds): Promise<string | null> {
    return await this.call('imageId', [reference], bounds, () => this.world.imageId(reference));
  }

  async createNetwork(spec: NetworkSpec, bounds: Bounds): Promise<void> {
    await this.call('createNetwork', [spec], bounds, () => {
      checkLabels(spec.name, spec.labels);
      const existing = this.world.networks.get(spec.name)?.spec;
      if (!existing) {
        this.world.admit(spec);
        this.world.networks.set(spec.name, { id: this.world.newId(), spec: structuredClone(spec) });
        return;
      }
      assertSame('network', spec.name, existing.labels, spec.labels);
      const keys = ['subnet', 'gateway', 'ipRange', 'internal', 'bridgeName', 'icc'] as const;
      const different = keys.find((key) => existing[key] !== spec[key]);
      if (different) {
        throw conflict('network', spec.name, `${different} is ${existing[different]}, not ${spec[different]}`);
      }
    });
  }

  async removeNetwork(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.call('removeNetwork', [name, owner], bounds, () => {
      const existing = this.world.networks.get(name);
      if (!existing) {
        return;
      }
      assertOwned('network', name, existing.spec.labels, owner);
      for (const container of this.world.containers.values()) {
        // only what runs is connected; a stopped container keeps the name and will not start
        if (container.status === 'running') {
          container.attachments = container.attachments.filter(({ network }) => network !== name);
        }
      }
      this.world.networks.delete(name);
    });
  }

  async createVolume(spec: VolumeSpec, bounds: Bounds): Promise<void> {
    await this.call('createVolume', [spec], bounds, () => {
      checkLabels(spec.name, spec.labels);
      const existing = this.world.volumes.get(spec.name);
      if (existing) {
        assertSame('volume', spec.name, existing.labels, spec.labels);
      } else {
        this.world.volumes.set(spec.name, { labels: { ...spec.labels }, files: new Map() });
      }
    });
  }

  async removeVolume(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.call('removeVolume', [name, owner], bounds, () => {
      const existing = this.world.volumes.get(name);
      if (!existing) {
        return;
      }
      assertOwned('volume', name, existing.labels, owner);
      const user = [...this.world.containers.values()].find(({ spec }) =>
        spec.mounts.some(({ volume }) => volume === name),
      );
      if (user) {
        throw new DomainError('ENGINE_CONFLICT', {
          message: `The engine refused remove volume ${name}: volume is in use - [${user.id}]`,
          details: { status: 409, reason: 'volume is in use' },
        });
      }
      this.world.volumes.delete(name);
    });
  }

  async createContainer(spec: ContainerSpec, bounds: Bounds): Promise<void> {
    await this.call('createContainer', [spec], bounds, () => {
      checkContainerSpec(spec);
      for (const { volume } of spec.mounts) {
        this.world.volume(volume);
      }
      const imageId = this.requireImage(spec.image);
      const existing = this.world.containers.get(spec.name);
      if (existing) {
        assertSame('container', spec.name, existing.labels, containerLabels(spec));
      }
      const container = existing ?? newContainer(this.world.newId(), imageId, spec);
      this.world.containers.set(spec.name, container);
      for (const attachment of spec.networks.slice(1)) {
        this.attach(container, attachment);
      }
    });
  }

  async putFiles(container: string, directory: string, files: readonly FileEntry[], bounds: Bounds): Promise<void> {
    await this.call('putFiles', [container, directory, files.map(({ path }) => path)], bounds, () => {
      checkFiles(files);
      const mount = this.world.container(container).spec.mounts.find(({ target }) => target === directory);
      const volume = mount && this.world.volumes.get(mount.volume);
      if (!volume) {
        throw refused(400, `${directory} is not a volume of ${container}; files elsewhere would not survive.`);
      }
      write(volume, files);
    });
  }

  async fillVolumes(filling: VolumeFilling, bounds: Bounds): Promise<void> {
    const summary = filling.volumes.map(({ volume, files }) => ({ volume, files: files.map(({ path }) => path) }));
    await this.call('fillVolumes', [filling.name, summary], bounds, () => {
      checkFilling(filling);
      this.requireImage(filling.image);
      const left = this.world.containers.get(filling.name);
      if (left) {
        assertOwned('container', filling.name, left.labels, ownerOf(filling.labels));
        this.world.containers.delete(filling.name);
      }
      const found = filling.volumes.map(({ volume, files }) => ({ volume: this.world.volume(volume), files }));
      for (const { volume, files } of found) {
        write(volume, files);
      }
    });
  }

  async startContainer(name: string, bounds: Bounds): Promise<void> {
    await this.call('startContainer', [name], bounds, () => {
      const container = this.world.container(name);
      if (container.status !== 'running') {
        this.run(container);
      }
    });
  }

  async stopContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    await this.call('stopContainer', [name, graceSeconds], bounds, async (signal) => {
      const container = this.world.containers.get(name);
      if (container?.status === 'restarting') {
        this.end(container, container.exitCode ?? 0, { stopped: true });
      }
      if (container?.status !== 'running') {
        return;
      }
      const answer = this.process(container).stop?.(this.context(container)) ?? 143;
      if (answer === 'ignored') {
        await delay(graceSeconds * 1000, undefined, { signal });
      }
      this.end(container, answer === 'ignored' ? 137 : answer, { stopped: true });
    });
  }

  async removeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.call('removeContainer', [name, owner], bounds, () => {
      const existing = this.world.containers.get(name);
      if (existing) {
        assertOwned('container', name, existing.labels, owner);
        this.world.containers.delete(name);
      }
    });
  }

  async updateLimits(name: string, limits: ContainerLimits, bounds: Bounds): Promise<void> {
    await this.call('updateLimits', [name, limits], bounds, () => {
      this.world.container(name).limits = { ...limits };
    });
  }

  async setRestart(name: string, restart: 'unless-stopped' | 'no', bounds: Bounds): Promise<void> {
    await this.call('setRestart', [name, restart], bounds, () => {
      this.world.container(name).restart = restart;
    });
  }

  async connectNetwork(container: string, attachment: Attachment, bounds: Bounds): Promise<void> {
    await this.call('connectNetwork', [container, attachment], bounds, () =>
      this.attach(this.world.container(container), attachment),
    );
  }

  async disconnectNetwork(container: string, network: string, bounds: Bounds): Promise<void> {
    await this.call('disconnectNetwork', [container, network], bounds, () => {
      const found = this.world.containers.get(container);
      if (found) {
        found.attachments = found.attachments.filter((attachment) => attachment.network !== network);
      }
    });
  }

  async logTail(container: string, lines: number, bounds: Bounds): Promise<string[]> {
    return await this.call('logTail', [container, lines], bounds, () =>
      this.world.container(container).log.slice(-lines),
    );
  }

  async runOnce(spec: HelperSpec, bounds: Bounds): Promise<{ exitCode: number; output: string }> {
    return await this.call('runOnce', [spec], bounds, async (signal) => {
      checkHelperSpec(spec);
      const existing = this.world.containers.get(spec.name);
      if (existing) {
        assertOwned('container', spec.name, existing.labels, ownerOf(spec.labels));
      }
      const helper = newContainer(this.world.newId(), this.requireImage(spec.image), asContainer(spec));
      helper.stdin = spec.stdin ?? '';
      this.world.containers.set(spec.name, helper);
      try {
        this.run(helper);
        if (helper.exitCode === null) {
          // it does not end by itself: as with a real helper, only the bounds end the wait
          await delay(FOREVER_MS, undefined, { signal });
        }
        return { exitCode: helper.exitCode ?? 0, output: helper.log.join('\n') };
      } finally {
        this.world.containers.delete(spec.name);
      }
    });
  }

  // --- inside

  private async call<T>(
    method: EngineMethod,
    args: readonly unknown[],
    bounds: Bounds,
    work: (signal: AbortSignal) => T | Promise<T>,
  ): Promise<T> {
    return await bounded(method, bounds, (signal) => this.log.around(method, args, signal, () => work(signal)));
  }

  private requireImage(reference: string): string {
    const id = this.world.imageId(reference);
    if (id === null) {
      throw new DomainError('IMAGE_MISSING', {
        message: imageMissing(`No such image: ${reference}`),
        details: { status: 404, image: reference },
      });
    }
    return id;
  }

  private attach(container: FakeContainer, attachment: Attachment): void {
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
      if (container.status === 'running') {
        this.world.claim(container, attachment);
      }
      container.attachments.push({ ...attachment });
    }
  }

  private run(container: FakeContainer): void {
    for (const attachment of container.attachments) {
      this.world.claim(container, attachment);
    }
    // one second a start: the order of starts can be read from the times, and is the same in every run
    this.clock += 1000;
    container.status = 'running';
    container.exitCode = null;
    container.oomKilled = false;
    container.startedAt = new Date(this.clock).toISOString();
    this.process(container).start?.(this.context(container));
  }

  private end(container: FakeContainer, code: number, how: { oomKilled?: boolean; stopped: boolean }): void {
    const restarts = container.restart === 'unless-stopped' && !how.stopped;
    container.status = restarts ? 'restarting' : 'exited';
    container.exitCode = code;
    container.oomKilled = how.oomKilled ?? false;
    container.restartCount += restarts ? 1 : 0;
  }

  private process(container: FakeContainer): FakeProcess {
    return this.behaviour(this.context(container));
  }

  private context(container: FakeContainer): ProcessContext {
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

function write(volume: FakeVolume, files: readonly FileEntry[]): void {
  for (const { path, content, mode, uid, gid } of files) {
    volume.files.set(path, { content: Buffer.from(content), mode, uid, gid });
  }
}
