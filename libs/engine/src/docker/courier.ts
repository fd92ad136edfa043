import type Docker from 'dockerode';
import { LABEL, type Labels } from '../port.js';
import { signalled } from './client.js';
import { absent } from './missing.js';

/** How long the removal of the courier may take once the upload is over, done or not. */
const REMOVE_MS = 10_000;

interface Delivery {
  docker: Docker;
  /** The container whose volume it is. */
  container: Docker.ContainerInspectInfo;
  volume: string;
  directory: string;
  tar: Buffer;
  signal: AbortSignal;
}

/**
 * The engine refuses an upload through a read-only mount, and secrets are mounted so. A second container, never
 * started, mounts the same volume writable, takes the files and goes. It carries the owner's labels, so that one left
 * by a crash is found and removed like everything else.
 */
export async function uploadThroughCourier({
  docker,
  container,
  volume,
  directory,
  tar,
  signal,
}: Delivery): Promise<void> {
  const name = `${container.Name.replace(/^\//, '')}-courier`;
  await discard(docker, name, signal);
  try {
    await docker.createContainer(
      signalled(signal, {
        name,
        Image: container.Image,
        Labels: courierLabels(container.Config.Labels),
        Cmd: ['never-started'],
        NetworkDisabled: true,
        HostConfig: {
          NetworkMode: 'none',
          ReadonlyRootfs: true,
          CapDrop: ['ALL'],
          Mounts: [
            {
              Type: 'volume',
              Source: volume,
              Target: directory,
              VolumeOptions: { NoCopy: true },
            } as Docker.MountSettings,
          ],
        },
      }),
    );
    await docker.getContainer(name).putArchive(tar, signalled(signal, { path: directory }));
  } finally {
    await discard(docker, name, AbortSignal.timeout(REMOVE_MS));
  }
}

function courierLabels(labels: Labels): Record<string, string> {
  const kept = [LABEL.platform, LABEL.tenant].flatMap((name) =>
    labels[name] === undefined ? [] : [[name, labels[name]]],
  );
  return { ...(Object.fromEntries(kept) as Record<string, string>), [LABEL.role]: 'courier' };
}

async function discard(docker: Docker, name: string, signal: AbortSignal): Promise<void> {
  await absent(docker.getContainer(name).remove(signalled(signal, { force: true, v: true })));
}
