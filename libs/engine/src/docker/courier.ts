import type Docker from 'dockerode';
import type { Semaphore } from '#libs/async';
import { assertOwned, ownerOf } from '../ownership.js';
import { LABEL, type VolumeFilling } from '../port.js';
import { tarOf } from './archive.js';
import { signalled } from './client.js';
import { statusOf } from './errors.js';
import { absent } from './missing.js';
import { removeById } from './removal.js';

/** How long the removal of the courier may take once the upload is over, done or not. */
const REMOVE_MS = 10_000;
const ROOT = '/aviary';

/**
 * The engine refuses an upload through a read-only mount, and secrets are mounted so. A container of its own, never
 * started, mounts the volumes writable, takes one archive for all of them (unpacking costs the engine 70 ms, however
 * little there is) and goes. It carries the owner's labels, so one left by a crash is found and removed like the rest.
 */
export async function sendCourier(
  docker: Docker,
  filling: VolumeFilling,
  slots: Semaphore,
  signal: AbortSignal,
): Promise<void> {
  const tar = await tarOf(filling.volumes.map(({ files }, index) => ({ below: String(index), files })));
  const courier = await createCourier(docker, filling, slots, signal);
  try {
    await courier.putArchive(tar, signalled(signal, { path: ROOT }));
  } finally {
    await removeById(docker, courier.id, { deadlineMs: REMOVE_MS, signal: AbortSignal.timeout(REMOVE_MS) });
  }
}

async function createCourier(
  docker: Docker,
  filling: VolumeFilling,
  slots: Semaphore,
  signal: AbortSignal,
): Promise<Docker.Container> {
  const create = (): Promise<Docker.Container> =>
    slots.run(() => {
      signal.throwIfAborted();
      return docker.createContainer(signalled(signal, courierOptions(filling)));
    });
  try {
    return await create();
  } catch (error) {
    if (statusOf(error) !== 409) {
      throw error;
    }
    const left = docker.getContainer(filling.name);
    const info = await absent(left.inspect(signalled(signal, {})));
    if (info) {
      assertOwned('container', filling.name, info.Config.Labels, ownerOf(filling.labels));
      await removeById(docker, info.Id, { deadlineMs: REMOVE_MS, signal });
    }
    return await create();
  }
}

function courierOptions({ name, image, labels, volumes }: VolumeFilling): Docker.ContainerCreateOptions {
  return {
    name,
    Image: image,
    Labels: { [LABEL.role]: 'courier', ...labels },
    Cmd: ['never-started'],
    NetworkDisabled: true,
    HostConfig: {
      NetworkMode: 'none',
      CapDrop: ['ALL'],
      Mounts: volumes.map(
        ({ volume }, index) =>
          // the image's own files at that place, if any, are none of the volume's
          ({
            Type: 'volume',
            Source: volume,
            Target: `${ROOT}/${index}`,
            VolumeOptions: { NoCopy: true },
          }) as Docker.MountSettings,
      ),
    },
  };
}
