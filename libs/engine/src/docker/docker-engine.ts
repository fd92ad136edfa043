import { Semaphore, type Bounds } from '#libs/async';
import {
  LABEL,
  type Attachment,
  type ContainerLimits,
  type ContainerSpec,
  type Engine,
  type EngineEvent,
  type EngineInfo,
  type EngineObjects,
  type FileEntry,
  type HelperSpec,
  type NetworkSpec,
  type Owner,
  type VolumeFilling,
  type VolumeSpec,
} from '../port.js';
import { DockerClient } from './client.js';
import { DockerContainers } from './containers.js';
import { followEvents } from './events.js';
import { DockerHelpers } from './helper.js';
import { DockerImages } from './images.js';
import { DockerNetworks } from './networks.js';
import { DockerVolumes } from './volumes.js';

export interface DockerEngineOptions {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`. Nothing is asked before the first call. */
  endpoint: string;
  /** Containers created or started at once; 4 to 8 (moby#42096: more at once collapse the engine). */
  parallel?: number;
  /** A stream of events that told nothing for that long is opened anew. */
  quietMs?: number;
}

/** The engine port over one Docker Engine. */
export class DockerEngine implements Engine {
  private readonly client: DockerClient;
  private readonly containers: DockerContainers;
  private readonly networks: DockerNetworks;
  private readonly volumes: DockerVolumes;
  private readonly images: DockerImages;
  private readonly helpers: DockerHelpers;

  private readonly eventPace: { quietMs?: number };

  constructor({ endpoint, parallel = 6, quietMs }: DockerEngineOptions) {
    this.eventPace = quietMs === undefined ? {} : { quietMs };
    this.client = new DockerClient(endpoint);
    const slots = new Semaphore(parallel);
    this.containers = new DockerContainers(this.client, slots);
    this.networks = new DockerNetworks(this.client);
    this.volumes = new DockerVolumes(this.client);
    this.images = new DockerImages(this.client);
    this.helpers = new DockerHelpers(this.client, slots);
  }

  async info(bounds: Bounds): Promise<EngineInfo> {
    return await this.client.call('info', bounds, async (docker) => {
      const [version, info] = await Promise.all([docker.version(), docker.info()]);
      return {
        id: info.ID,
        version: version.Version,
        apiVersion: version.ApiVersion,
        minApiVersion: version.MinAPIVersion ?? version.ApiVersion,
        cpus: info.NCPU,
        memoryBytes: info.MemTotal,
        dataRoot: info.DockerRootDir,
        cgroupVersion: (info as { CgroupVersion?: string }).CgroupVersion ?? '1',
        liveRestore: info.LiveRestoreEnabled,
      };
    });
  }

  async observe(owner: Owner, bounds: Bounds): Promise<EngineObjects> {
    const labels = [`${LABEL.platform}=${owner.platform}`];
    if (owner.tenant !== undefined) {
      labels.push(`${LABEL.tenant}=${owner.tenant}`);
    }
    const [containers, networks, volumes] = await Promise.all([
      this.containers.list(labels, bounds),
      this.networks.list(labels, bounds),
      this.volumes.list(labels, bounds),
    ]);
    return { containers, networks, volumes };
  }

  async imageId(reference: string, bounds: Bounds): Promise<string | null> {
    return await this.images.id(reference, bounds);
  }

  async imageEnvironment(reference: string, bounds: Bounds): Promise<Record<string, string> | null> {
    return await this.images.environment(reference, bounds);
  }

  events(owner: Owner, signal: AbortSignal): AsyncIterable<EngineEvent> {
    return followEvents(this.client, owner, { signal, ...this.eventPace });
  }

  async createNetwork(spec: NetworkSpec, bounds: Bounds): Promise<void> {
    await this.networks.create(spec, bounds);
  }

  async removeNetwork(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.networks.remove(name, owner, bounds);
  }

  async createVolume(spec: VolumeSpec, bounds: Bounds): Promise<void> {
    await this.volumes.create(spec, bounds);
  }

  async removeVolume(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.volumes.remove(name, owner, bounds);
  }

  async createContainer(spec: ContainerSpec, bounds: Bounds): Promise<void> {
    await this.containers.create(spec, bounds);
  }

  async putFiles(container: string, directory: string, files: readonly FileEntry[], bounds: Bounds): Promise<void> {
    await this.containers.putFiles(container, directory, files, bounds);
  }

  async fillVolumes(filling: VolumeFilling, bounds: Bounds): Promise<void> {
    await this.containers.fillVolumes(filling, bounds);
  }

  async startContainer(name: string, bounds: Bounds): Promise<void> {
    await this.containers.start(name, bounds);
  }

  async unpauseContainer(name: string, bounds: Bounds): Promise<void> {
    await this.containers.unpause(name, bounds);
  }

  async stopContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    await this.containers.stop(name, graceSeconds, bounds);
  }

  async restartContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    await this.containers.restart(name, graceSeconds, bounds);
  }

  async removeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.containers.remove(name, owner, bounds);
  }

  async remakeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.containers.remake(name, owner, bounds);
  }

  async updateLimits(name: string, limits: ContainerLimits, bounds: Bounds): Promise<void> {
    await this.containers.updateLimits(name, limits, bounds);
  }

  async setRestart(name: string, restart: 'unless-stopped' | 'no', bounds: Bounds): Promise<void> {
    await this.containers.setRestart(name, restart, bounds);
  }

  async connectNetwork(container: string, attachment: Attachment, bounds: Bounds): Promise<void> {
    await this.networks.connect(container, attachment, bounds);
  }

  async disconnectNetwork(container: string, network: string, bounds: Bounds): Promise<void> {
    await this.networks.disconnect(container, network, bounds);
  }

  async readFiles(container: string, directory: string, bounds: Bounds): Promise<FileEntry[]> {
    return await this.containers.readFiles(container, directory, bounds);
  }

  async logTail(container: string, lines: number, bounds: Bounds): Promise<string[]> {
    return await this.containers.logTail(container, lines, bounds);
  }

  async runOnce(spec: HelperSpec, bounds: Bounds): Promise<{ exitCode: number; output: string }> {
    return await this.helpers.runOnce(spec, bounds);
  }
}
