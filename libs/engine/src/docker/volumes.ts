import type { Bounds } from '#libs/async';
import { checkLabels } from '../checks.js';
import { assertOwned, assertSame } from '../ownership.js';
import type { Owner, VolumeSpec, VolumeState } from '../port.js';
import { signalled, type DockerClient } from './client.js';
import { absent } from './missing.js';

export class DockerVolumes {
  constructor(private readonly client: DockerClient) {}

  async create(spec: VolumeSpec, bounds: Bounds): Promise<void> {
    checkLabels(spec.name, spec.labels);
    await this.client.call(`create volume ${spec.name}`, bounds, async (docker, signal) => {
      await docker.createVolume(signalled(signal, { Name: spec.name, Driver: 'local', Labels: { ...spec.labels } }));
      // an existing volume answers 201 as well, whoever owns it: only its labels tell
      const made = await docker.getVolume(spec.name).inspect(signalled(signal, {}));
      assertSame('volume', spec.name, made.Labels, spec.labels);
    });
  }

  async remove(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.client.call(`remove volume ${name}`, bounds, async (docker, signal) => {
      const existing = await absent(docker.getVolume(name).inspect(signalled(signal, {})));
      if (existing) {
        assertOwned('volume', name, existing.Labels, owner);
        await absent(docker.getVolume(name).remove(signalled(signal, {})));
      }
    });
  }

  async list(owner: readonly string[], bounds: Bounds): Promise<VolumeState[]> {
    return await this.client.call('list volumes', bounds, async (docker, signal) => {
      const { Volumes } = await docker.listVolumes(signalled(signal, { filters: { label: [...owner] } }));
      // null, not an empty list, when there is none
      return (Volumes ?? []).map(({ Name, Labels }) => ({ name: Name, labels: Labels ?? {} }));
    });
  }
}
