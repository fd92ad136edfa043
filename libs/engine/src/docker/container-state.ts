import type { ContainerInspectInfo } from 'dockerode';
import type { ContainerState } from '../port.js';

const STATUSES = ['created', 'running', 'paused', 'restarting', 'exited', 'dead', 'removing'] as const;

/** How the engine writes "never". */
const NEVER = '0001-01-01T00:00:00Z';

export function containerState(info: ContainerInspectInfo): ContainerState {
  const { State, HostConfig } = info;
  const status = STATUSES.find((known) => known === State.Status) ?? 'dead';
  const ended = status === 'exited' || status === 'dead' || status === 'restarting';
  return {
    id: info.Id,
    name: info.Name.replace(/^\//, ''),
    labels: info.Config.Labels,
    imageId: info.Image,
    status,
    exitCode: ended ? State.ExitCode : null,
    oomKilled: State.OOMKilled,
    startedAt: State.StartedAt === NEVER ? null : State.StartedAt,
    restartCount: info.RestartCount,
    restart: HostConfig.RestartPolicy?.Name || 'no',
    limits: {
      cpus: (HostConfig.NanoCpus ?? 0) / 1e9,
      memoryBytes: HostConfig.Memory ?? 0,
      pids: HostConfig.PidsLimit ?? 0,
    },
    networks: Object.fromEntries(
      Object.entries(info.NetworkSettings.Networks).map(([name, endpoint]) => [
        name,
        // a stopped container has no address; the one it will ask for stands in its configuration
        {
          address: endpoint.IPAddress || (endpoint.IPAMConfig as { IPv4Address?: string } | null)?.IPv4Address || '',
          networkId: endpoint.NetworkID ?? '',
        },
      ]),
    ),
  };
}
