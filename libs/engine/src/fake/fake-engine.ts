import { setTimeout as delay } from 'node:timers/promises';
import type { Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';

import {
  checkContainerSpec,
  checkFiles,
  checkFilling,
  checkHelperSpec,
  checkLabels,
  containerLabels,
} from '../checks.js';
import { assertOwned, assertSame, conflict, ownerOf, provesOwner } from '../ownership.js';
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
import { FakeHost } from './fake-host.js';
import { asContainer, newContainer, stateOf } from './fake-container.js';
import { remake } from './fake-remake.js';
import { networkState, refused, type FakeVolume } from './world.js';

/** The longest a timer can be. */
const FOREVER_MS = 2 ** 31 - 1;

/** An engine in memory with the semantics of a real one, as far as the contract suite shows them; nothing leaves the process. */
export class FakeEngine extends FakeHost implements Engine {
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

  async imageEnvironment(reference: string, bounds: Bounds): Promise<Readonly<Record<string, string>> | null> {
    return await this.call('imageEnvironment', [reference], bounds, () => {
      const id = this.world.imageId(reference);
      return id === null ? null : { ...this.world.environments.get(id) };
    });
  }

  events(owner: Owner, signal: AbortSignal): AsyncIterable<EngineEvent> {
    return this.told.follow(owner, signal);
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
      this.told.tell({ kind: 'network removed', name, containerId: null, labels: null, exitCode: null });
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
      this.loseVolume(name);
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

  async unpauseContainer(name: string, bounds: Bounds): Promise<void> {
    await this.call('unpauseContainer', [name], bounds, () => {
      const container = this.world.container(name);
      if (container.status === 'paused') {
        container.status = 'running';
        this.tell('container started', container);
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

  async restartContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    await this.call('restartContainer', [name, graceSeconds], bounds, async () => {
      const container = this.world.container(name);
      if (container.status === 'running') {
        const answer = this.process(container).stop?.(this.context(container)) ?? 143;
        if (answer === 'ignored') {
          await delay(graceSeconds * 1000);
        }
        this.end(container, answer === 'ignored' ? 137 : answer, { stopped: true });
      }
      this.run(container);
    });
  }

  async removeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.call('removeContainer', [name, owner], bounds, () => {
      const existing = this.world.containers.get(name);
      if (existing) {
        assertOwned('container', name, existing.labels, owner);
        this.world.containers.delete(name);
        this.tell('container removed', existing);
      }
    });
  }

  async remakeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.call('remakeContainer', [name, owner], bounds, () => {
      remake(this.world, name, owner).forEach((removed) => this.tell('container removed', removed));
    });
  }

  async updateLimits(name: string, limits: ContainerLimits, bounds: Bounds): Promise<void> {
    await this.call('updateLimits', [name, limits], bounds, () => {
      const container = this.world.container(name);
      container.limits = { ...limits };
      this.tell('container changed', container);
    });
  }

  async setRestart(name: string, restart: 'unless-stopped' | 'no', bounds: Bounds): Promise<void> {
    await this.call('setRestart', [name, restart], bounds, () => {
      const container = this.world.container(name);
      container.restart = restart;
      this.tell('container changed', container);
    });
  }

  async connectNetwork(container: string, attachment: Attachment, bounds: Bounds): Promise<void> {
    await this.call('connectNetwork', [container, attachment], bounds, () => {
      const found = this.world.container(container);
      this.attach(found, attachment);
      this.tellOfNetwork('network connected', attachment.network, found.id);
    });
  }

  async disconnectNetwork(container: string, network: string, bounds: Bounds): Promise<void> {
    await this.call('disconnectNetwork', [container, network], bounds, () => {
      const found = this.world.containers.get(container);
      if (found) {
        found.attachments = found.attachments.filter((attachment) => attachment.network !== network);
        this.tellOfNetwork('network disconnected', network, found.id);
      }
    });
  }

  async readFiles(container: string, directory: string, bounds: Bounds): Promise<FileEntry[]> {
    return await this.call('readFiles', [container, directory], bounds, () => {
      const mount = this.world.container(container).spec.mounts.find(({ target }) => target === directory);
      const files = mount ? this.world.volumes.get(mount.volume)?.files : undefined;
      return [...(files ?? [])].map(([path, file]) => ({ path, ...file }));
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
}

function write(volume: FakeVolume, files: readonly FileEntry[]): void {
  for (const { path, content, mode, uid, gid } of files) {
    volume.files.set(path, { content: Buffer.from(content), mode, uid, gid });
  }
}
