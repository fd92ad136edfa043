import type Docker from 'dockerode';
import type { Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { asideOf, goesOn } from '../aside.js';
import { assertOwned } from '../ownership.js';
import { LABEL, type Owner } from '../port.js';
import { signalled } from './client.js';
import { absent } from './missing.js';
import { removeById } from './removal.js';

type Call = Bounds & { signal: AbortSignal };

/**
 * A container of the same configuration in the place of one that does not run. The old one stands aside until the new
 * one is made, so that a failure in between loses nothing; what a crash in between left is finished first.
 */
export async function remake(docker: Docker, name: string, owner: Owner, call: Call): Promise<void> {
  const left = await inspect(docker, asideOf(name), call.signal);
  const existing = await inspect(docker, name, call.signal);
  for (const { Name, Config } of [left, existing].filter((one) => one !== undefined)) {
    assertOwned('container', Name.replace(/^\//, ''), Config.Labels, owner);
  }
  if (left) {
    if (goesOn(standing(left), existing && standing(existing)) === 'new') {
      await removeById(docker, left.Id, call);
      return;
    }
    if (existing) {
      await removeById(docker, existing.Id, call);
    }
    await docker.getContainer(left.Id).rename(signalled(call.signal, { name }));
    if (!left.State.Running) {
      await replace(docker, { ...left, Name: `/${name}` }, call);
    }
    return;
  }
  if (!existing) {
    throw new DomainError('NOT_FOUND', { message: `There is no container ${name}.` });
  }
  if (existing.State.Running) {
    throw new DomainError('WRONG_STATE', {
      message: `${name} runs.`,
      details: { why: 'running', container: name },
    });
  }
  await replace(docker, existing, call);
}

async function replace(docker: Docker, old: Docker.ContainerInspectInfo, call: Call): Promise<void> {
  const { signal } = call;
  const name = old.Name.replace(/^\//, '');
  const [first, ...others] = Object.entries(old.NetworkSettings.Networks).map(
    ([network, { IPAMConfig, Aliases }]) =>
      [
        network,
        // Its own short id is among the aliases, and the new one gets its own.
        { IPAMConfig, Aliases: (Aliases ?? []).filter((alias: string) => !old.Id.startsWith(alias)) },
      ] as [string, Docker.EndpointSettings],
  );
  const { Hostname, ...config } = old.Config;
  await docker.getContainer(old.Id).rename(signalled(signal, { name: asideOf(name) }));
  try {
    const made = await docker.createContainer(
      signalled(signal, {
        ...config,
        ...(old.Id.startsWith(Hostname) ? {} : { Hostname }),
        name,
        Labels: { ...config.Labels, [LABEL.remade]: 'true' },
        HostConfig: old.HostConfig,
        NetworkingConfig: { EndpointsConfig: first ? Object.fromEntries([first]) : {} },
      }),
    );
    for (const [network, EndpointConfig] of others) {
      await docker.getNetwork(network).connect(signalled(signal, { Container: made.id, EndpointConfig }));
    }
  } catch (error) {
    const half = docker.getContainer(name);
    await removeById(docker, half.id, call);
    await docker.getContainer(old.Id).rename(signalled(signal, { name }));
    throw error;
  }
  await removeById(docker, old.Id, call);
}

/** The engine writes this year for one that was never started. */
const standing = ({ State }: Docker.ContainerInspectInfo): { running: boolean; everStarted: boolean } => ({
  running: State.Running,
  everStarted: !State.StartedAt.startsWith('0001-'),
});

/** By exact name: the engine would also answer to the beginning of an id. */
export async function inspect(
  docker: Docker,
  name: string,
  signal: AbortSignal,
): Promise<Docker.ContainerInspectInfo | undefined> {
  const info = await absent(docker.getContainer(name).inspect(signalled(signal, {})));
  return info?.Name === `/${name}` ? info : undefined;
}
