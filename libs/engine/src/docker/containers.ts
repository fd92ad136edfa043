import type Docker from 'dockerode';
import { KeyedMutex, Semaphore, type Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { checkContainerSpec, checkFiles, checkFilling, containerLabels } from '../checks.js';
import { assertOwned, assertSame } from '../ownership.js';
import {
  LABEL,
  type ContainerLimits,
  type ContainerSpec,
  type ContainerState,
  type FileEntry,
  type Owner,
  type VolumeFilling,
} from '../port.js';
import { filesOf, tarOf } from './archive.js';
import { signalled, type DockerClient } from './client.js';
import { createOptions, limitOptions } from './container-options.js';
import { containerState } from './container-state.js';
import { sendCourier } from './courier.js';
import { inspect, remake } from './remake.js';
import { demuxLines } from './demux.js';
import { statusOf } from './errors.js';
import { absent, unchanged } from './missing.js';
import { attach, connect } from './networks.js';
import { removeById, waitUntilGone } from './removal.js';

/** An inspect costs 2–5 ms of the engine's time; more at once only queue there. */
const INSPECT_PARALLEL = 8;

export class DockerContainers {
  private readonly couriers = new KeyedMutex();

  constructor(
    private readonly client: DockerClient,
    /** Engines collapse under many starts at once, so creates and starts share these slots. */
    private readonly slots: Semaphore,
  ) {}

  async create(spec: ContainerSpec, bounds: Bounds): Promise<void> {
    checkContainerSpec(spec);
    await this.client.call(`create container ${spec.name}`, bounds, (docker, signal) =>
      this.slots.run(async () => {
        signal.throwIfAborted();
        await requireVolumes(
          docker,
          spec.mounts.map(({ volume }) => volume),
          signal,
        );
        const made = await this.createOnce(docker, spec, { ...bounds, signal });
        for (const attachment of spec.networks.slice(1)) {
          await (made === 'now' ? attach : connect)(docker, spec.name, attachment, signal);
        }
      }),
    );
  }

  private async createOnce(
    docker: Docker,
    spec: ContainerSpec,
    bounds: Bounds & { signal: AbortSignal },
  ): Promise<'now' | 'before'> {
    const { signal } = bounds;
    const create = (): Promise<unknown> => docker.createContainer(signalled(signal, createOptions(spec)));
    try {
      await create();
      return 'now';
    } catch (error) {
      const existing = statusOf(error) === 409 ? await inspect(docker, spec.name, signal) : undefined;
      if (!existing) {
        throw error;
      }
      if (existing.State.Status === 'removing') {
        await waitUntilGone(docker, spec.name, bounds);
        await create();
        return 'now';
      }
      assertSame('container', spec.name, existing.Config.Labels, containerLabels(spec));
      return 'before';
    }
  }

  async putFiles(container: string, directory: string, files: readonly FileEntry[], bounds: Bounds): Promise<void> {
    checkFiles(files);
    await this.client.call(`put files into ${container}`, bounds, async (docker, signal) => {
      const target = docker.getContainer(container);
      const info = await target.inspect(signalled(signal, {}));
      const mount = info.Mounts.find(({ Destination }) => Destination === directory);
      if (mount?.Type !== 'volume' || !mount.Name) {
        throw new DomainError('ENGINE_REFUSED', {
          message: `${directory} is not a volume of ${container}; files elsewhere would not survive.`,
          details: { container, directory },
        });
      }
      if (mount.RW) {
        const tar = await tarOf([{ below: '', files }]);
        await target.putArchive(tar, signalled(signal, { path: directory }));
        return;
      }
      const { [LABEL.platform]: platform = '', [LABEL.tenant]: tenant } = info.Config.Labels;
      const filling: VolumeFilling = {
        name: `${container}-courier`,
        labels: { [LABEL.platform]: platform, ...(tenant === undefined ? {} : { [LABEL.tenant]: tenant }) },
        image: info.Image,
        volumes: [{ volume: mount.Name, files }],
      };
      await this.couriers.run(filling.name, () => sendCourier(docker, filling, this.slots, signal));
    });
  }

  async fillVolumes(filling: VolumeFilling, bounds: Bounds): Promise<void> {
    checkFilling(filling);
    const { name, volumes } = filling;
    await this.client.call(`fill volumes by ${name}`, bounds, async (docker, signal) => {
      await requireVolumes(
        docker,
        volumes.map(({ volume }) => volume),
        signal,
      );
      await this.couriers.run(name, () => sendCourier(docker, filling, this.slots, signal));
    });
  }

  async start(name: string, bounds: Bounds): Promise<void> {
    await this.client.call(`start container ${name}`, bounds, (docker, signal) =>
      this.slots.run(async () => {
        signal.throwIfAborted();
        await unchanged(docker.getContainer(name).start(signalled(signal, {})));
      }),
    );
  }

  async unpause(name: string, bounds: Bounds): Promise<void> {
    await this.client.call(`unpause container ${name}`, bounds, async (docker, signal) => {
      const info = await docker.getContainer(name).inspect(signalled(signal, {}));
      if (info.State.Paused) {
        await docker.getContainer(name).unpause(signalled(signal, {}));
      }
    });
  }

  async readFiles(container: string, directory: string, bounds: Bounds): Promise<FileEntry[]> {
    return await this.client.call(`read files of ${container}`, bounds, async (docker, signal) => {
      const archive = await absent(
        docker.getContainer(container).getArchive(signalled(signal, { path: `${directory}/.` })),
      );
      return archive ? await filesOf(archive) : [];
    });
  }

  async stop(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    await this.client.call(`stop container ${name}`, bounds, async (docker, signal) => {
      await absent(unchanged(docker.getContainer(name).stop(signalled(signal, { t: graceSeconds }))));
    });
  }

  async restart(name: string, graceSeconds: number, bounds: Bounds): Promise<void> {
    await this.client.call(`restart container ${name}`, bounds, (docker, signal) =>
      this.slots.run(async () => {
        signal.throwIfAborted();
        await docker.getContainer(name).restart(signalled(signal, { t: graceSeconds }));
      }),
    );
  }

  async remove(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.client.call(`remove container ${name}`, bounds, async (docker, signal) => {
      const existing = await inspect(docker, name, signal);
      if (!existing) {
        return;
      }
      assertOwned('container', name, existing.Config.Labels, owner);
      await removeById(docker, existing.Id, { ...bounds, signal });
    });
  }

  async remake(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.client.call(`make container ${name} anew`, bounds, (docker, signal) =>
      this.slots.run(() => remake(docker, name, owner, { ...bounds, signal })),
    );
  }

  async updateLimits(name: string, limits: ContainerLimits, bounds: Bounds): Promise<void> {
    await this.client.call(`change limits of ${name}`, bounds, (docker, signal) =>
      docker.getContainer(name).update(signalled(signal, limitOptions(limits))),
    );
  }

  async setRestart(name: string, restart: 'unless-stopped' | 'no', bounds: Bounds): Promise<void> {
    await this.client.call(`change restart policy of ${name}`, bounds, (docker, signal) =>
      docker.getContainer(name).update(signalled(signal, { RestartPolicy: { Name: restart } })),
    );
  }

  async list(owner: readonly string[], bounds: Bounds): Promise<ContainerState[]> {
    return await this.client.call('list containers', bounds, async (docker, signal) => {
      const listed = await docker.listContainers(signalled(signal, { all: true, filters: { label: [...owner] } }));
      const inspecting = new Semaphore(INSPECT_PARALLEL);
      const states = await Promise.all(
        listed.map(({ Id }) =>
          inspecting.run(async () => {
            signal.throwIfAborted();
            const info = await absent(docker.getContainer(Id).inspect(signalled(signal, {})));
            return info && containerState(info);
          }),
        ),
      );
      return states.filter((state) => state !== undefined);
    });
  }

  async logTail(name: string, lines: number, bounds: Bounds): Promise<string[]> {
    return await this.client.call(`read the log of ${name}`, bounds, async (docker, signal) => {
      const options = { stdout: true, stderr: true, tail: lines, follow: false } as const;
      const framed = await docker.getContainer(name).logs(signalled(signal, options));
      return demuxLines(framed).slice(-lines);
    });
  }
}

/** The engine would make a missing volume, empty and without our labels: a database would start with no data. */
async function requireVolumes(docker: Docker, names: readonly string[], signal: AbortSignal): Promise<void> {
  await Promise.all(
    names.map(async (volume) => {
      if (!(await absent(docker.getVolume(volume).inspect(signalled(signal, {}))))) {
        throw new DomainError('ENGINE_REFUSED', {
          message: `The volume ${volume} does not exist.`,
          details: { status: 404, reason: 'no such volume', volume },
        });
      }
    }),
  );
}
