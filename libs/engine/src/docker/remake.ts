import type Docker from 'dockerode';
import type { Bounds } from '#libs/async';
import { signalled } from './client.js';
import { removeById } from './removal.js';

/**
 * A container of the same configuration under the same name. The old one keeps its place until the new one is made, so
 * that a failure in between loses nothing.
 */
export async function remake(
  docker: Docker,
  old: Docker.ContainerInspectInfo,
  bounds: Bounds & { signal: AbortSignal },
): Promise<void> {
  const { signal } = bounds;
  const name = old.Name.replace(/^\//, '');
  const aside = `${name}-stuck`;
  const [first, ...others] = Object.entries(old.NetworkSettings.Networks).map(
    ([network, { IPAMConfig, Aliases }]) =>
      [
        network,
        // Its own short id is among the aliases, and the new one gets its own.
        { IPAMConfig, Aliases: (Aliases ?? []).filter((alias: string) => !old.Id.startsWith(alias)) },
      ] as [string, Docker.EndpointSettings],
  );
  const { Hostname, ...config } = old.Config;
  await docker.getContainer(old.Id).rename(signalled(signal, { name: aside }));
  try {
    const made = await docker.createContainer(
      signalled(signal, {
        ...config,
        ...(old.Id.startsWith(Hostname) ? {} : { Hostname }),
        name,
        HostConfig: old.HostConfig,
        NetworkingConfig: { EndpointsConfig: first ? Object.fromEntries([first]) : {} },
      }),
    );
    for (const [network, EndpointConfig] of others) {
      await docker.getNetwork(network).connect(signalled(signal, { Container: made.id, EndpointConfig }));
    }
  } catch (error) {
    const half = docker.getContainer(name);
    await removeById(docker, half.id, bounds);
    await docker.getContainer(old.Id).rename(signalled(signal, { name }));
    throw error;
  }
  await removeById(docker, old.Id, bounds);
}
