import { setTimeout as pause } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { Bounds } from '#libs/async';
import { checkLabels } from '../checks.js';
import { assertOwned, assertSame, conflict } from '../ownership.js';
import type { Attachment, NetworkSpec, NetworkState, Owner } from '../port.js';
import { signalled, type DockerClient } from './client.js';
import { endpointOptions } from './container-options.js';
import { statusOf } from './errors.js';
import { absent } from './missing.js';

const OPTION = {
  bridge: 'com.docker.network.bridge.name',
  icc: 'com.docker.network.bridge.enable_icc',
  mtu: 'com.docker.network.driver.mtu',
} as const;

/**
 * The engine holds the subnet of a network before it shows the network. Whoever asks in between is refused as by a
 * stranger's, and asks again for about five seconds.
 */
const MAKING_ROUNDS = 20;
const MAKING_PAUSE_MS = 250;

export class DockerNetworks {
  constructor(private readonly client: DockerClient) {}

  /** Made twice at once it is made once, as every call of the port. */
  async create(spec: NetworkSpec, bounds: Bounds): Promise<void> {
    checkLabels(spec.name, spec.labels);
    await this.client.call(`create network ${spec.name}`, bounds, async (docker, signal) => {
      for (let round = 1; ; round += 1) {
        try {
          await docker.createNetwork(signalled(signal, networkOptions(spec)));
          return;
        } catch (error) {
          // 409 says the name is taken; 403 that the subnet or bridge is, by the network itself if it was made before
          if (![409, 403].includes(statusOf(error) ?? 0)) {
            throw error;
          }
          const existing = await inspect(docker, spec.name);
          if (existing) {
            assertSame('network', spec.name, existing.Labels, spec.labels);
            const difference = differs(existing, spec);
            if (difference) {
              throw conflict('network', spec.name, difference);
            }
            return;
          }
          if (round === MAKING_ROUNDS) {
            throw error;
          }
        }
        await pause(MAKING_PAUSE_MS, undefined, { signal });
      }
    });
  }

  async remove(name: string, owner: Owner, bounds: Bounds): Promise<void> {
    await this.client.call(`remove network ${name}`, bounds, async (docker, signal) => {
      const existing = await inspect(docker, name);
      if (!existing) {
        return;
      }
      assertOwned('network', name, existing.Labels, owner);
      const network = docker.getNetwork(existing.Id);
      await Promise.all(
        Object.keys(existing.Containers ?? {}).map((Container) =>
          absent(network.disconnect(signalled(signal, { Container, Force: true }))),
        ),
      );
      await absent(network.remove(signalled(signal, {})));
    });
  }

  async connect(container: string, attachment: Attachment, bounds: Bounds): Promise<void> {
    await this.client.call(`connect ${container} to ${attachment.network}`, bounds, (docker, signal) =>
      connect(docker, container, attachment, signal),
    );
  }

  async disconnect(container: string, network: string, bounds: Bounds): Promise<void> {
    await this.client.call(`disconnect ${container} from ${network}`, bounds, async (docker, signal) => {
      const info = await absent(docker.getContainer(container).inspect(signalled(signal, {})));
      if (info?.NetworkSettings.Networks[network]) {
        await absent(docker.getNetwork(network).disconnect(signalled(signal, { Container: container, Force: true })));
      }
    });
  }

  async list(owner: readonly string[], bounds: Bounds): Promise<NetworkState[]> {
    return await this.client.call('list networks', bounds, async (docker, signal) => {
      const networks = await docker.listNetworks(signalled(signal, { filters: { label: [...owner] } }));
      return networks.map((network) => ({
        id: network.Id,
        name: network.Name,
        labels: network.Labels ?? {},
        subnet: network.IPAM?.Config?.[0]?.Subnet ?? null,
        internal: network.Internal,
      }));
    });
  }
}

/** Connecting what is connected at that address succeeds; at another address it is a conflict, never moved silently. */
export async function connect(
  docker: Docker,
  container: string,
  attachment: Attachment,
  signal: AbortSignal,
): Promise<void> {
  const { network, address } = attachment;
  const attached = async (): Promise<boolean> => {
    const info = await docker.getContainer(container).inspect(signalled(signal, {}));
    const endpoint = info.NetworkSettings.Networks[network];
    if (!endpoint) {
      return false;
    }
    if ((endpoint.IPAMConfig as { IPv4Address?: string } | null)?.IPv4Address !== address) {
      throw conflict('connection', `${container} to ${network}`, `it is not at ${address}`);
    }
    return true;
  };
  if (!(await attached())) {
    await attach(docker, container, attachment, signal);
  }
}

export async function attach(
  docker: Docker,
  container: string,
  attachment: Attachment,
  signal: AbortSignal,
): Promise<void> {
  const options = { Container: container, EndpointConfig: endpointOptions(attachment) };
  await docker.getNetwork(attachment.network).connect(signalled(signal, options));
}

function networkOptions(spec: NetworkSpec): Docker.NetworkCreateOptions {
  return {
    Name: spec.name,
    Labels: { ...spec.labels },
    Driver: 'bridge',
    CheckDuplicate: true,
    Internal: spec.internal,
    EnableIPv6: false,
    IPAM: {
      Driver: 'default',
      Config: [{ Subnet: spec.subnet, Gateway: spec.gateway, ...(spec.ipRange ? { IPRange: spec.ipRange } : {}) }],
    },
    Options: {
      [OPTION.bridge]: spec.bridgeName,
      [OPTION.icc]: String(spec.icc),
      ...(spec.mtu ? { [OPTION.mtu]: String(spec.mtu) } : {}),
    },
  };
}

function differs(have: Docker.NetworkInspectInfo, want: NetworkSpec): string | undefined {
  const config = have.IPAM?.Config?.[0] as { Subnet?: string; Gateway?: string; IPRange?: string } | undefined;
  const pairs: [string, unknown, unknown][] = [
    ['subnet', config?.Subnet, want.subnet],
    ['gateway', config?.Gateway, want.gateway],
    ['dynamic range', config?.IPRange ?? '', want.ipRange ?? ''],
    ['internal', have.Internal, want.internal],
    ['bridge', have.Options?.[OPTION.bridge], want.bridgeName],
    ['icc', have.Options?.[OPTION.icc], String(want.icc)],
  ];
  const different = pairs.find(([, is, should]) => is !== should);
  return different && `${different[0]} is ${String(different[1])}, not ${String(different[2])}`;
}

/** By exact name: the engine would also answer to the beginning of an id. */
async function inspect(docker: Docker, name: string): Promise<Docker.NetworkInspectInfo | undefined> {
  const info = (await absent(docker.getNetwork(name).inspect())) as Docker.NetworkInspectInfo | undefined;
  return info?.Name === name ? info : undefined;
}
