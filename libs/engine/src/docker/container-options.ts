import type { ContainerCreateOptions, HostConfig, MountSettings } from 'dockerode';
import { containerLabels } from '../checks.js';
import type { Attachment, ContainerLimits, ContainerSpec, HelperSpec, Tmpfs } from '../port.js';

const MIB = 1024 * 1024;

/** Enforced on every container, not left to the engine's defaults: logs must not fill the disk. */
const LOG: HostConfig['LogConfig'] = { Type: 'local', Config: { 'max-size': '10m', 'max-file': '3' } };

const HARDENED: HostConfig = {
  CapDrop: ['ALL'],
  SecurityOpt: ['no-new-privileges:true'],
  ReadonlyRootfs: true,
  Privileged: false,
  Init: true,
  LogConfig: LOG,
};

export function createOptions(spec: ContainerSpec): ContainerCreateOptions {
  const first = spec.networks[0];
  return {
    name: spec.name,
    Image: spec.image,
    Labels: { ...containerLabels(spec) },
    ...(spec.command ? { Cmd: [...spec.command] } : {}),
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    User: spec.user,
    StopTimeout: spec.stopGraceSeconds,
    ...(spec.stopSignal ? { StopSignal: spec.stopSignal } : {}),
    // Engines below API 1.44 answer 400 to two endpoints in one create: the others are connected before the start.
    ...(first ? { NetworkingConfig: { EndpointsConfig: { [first.network]: endpointOptions(first) } } } : {}),
    HostConfig: {
      ...HARDENED,
      ...limitOptions(spec.limits),
      NetworkMode: first?.network ?? 'none',
      Mounts: spec.mounts.map(({ volume, target, readOnly }): MountSettings => ({
        Type: 'volume',
        Source: volume,
        Target: target,
        ReadOnly: readOnly,
      })),
      Tmpfs: tmpfsOptions(spec.tmpfs),
      Ulimits: Object.entries(spec.ulimits).map(([Name, value]) => ({ Name, Soft: value, Hard: value })),
      ExtraHosts: Object.entries(spec.extraHosts).map(([name, address]) => `${name}:${address}`),
      RestartPolicy: { Name: spec.restart },
    },
  };
}

/** A helper lives for a second or two: little memory, no restart, and a /run for the lock files of iptables. */
export function helperOptions(spec: HelperSpec): ContainerCreateOptions {
  return {
    name: spec.name,
    Image: spec.image,
    Labels: { ...spec.labels },
    Cmd: [...spec.command],
    User: spec.user,
    ...(spec.stdin === undefined ? {} : { OpenStdin: true, StdinOnce: true }),
    HostConfig: {
      ...HARDENED,
      ...limitOptions({ cpus: 1, memoryBytes: 128 * MIB, pids: 64 }),
      LogConfig: { Type: 'local', Config: { 'max-size': '2m', 'max-file': '2' } },
      CapAdd: [...spec.capabilities],
      NetworkMode: spec.hostNetwork ? 'host' : 'none',
      Tmpfs: tmpfsOptions([
        { target: '/run', sizeBytes: MIB },
        { target: '/tmp', sizeBytes: 16 * MIB },
      ]),
      RestartPolicy: { Name: 'no' },
    },
  };
}

/** Memory equals memory and swap together, so nothing is ever swapped. */
export function limitOptions(
  limits: ContainerLimits,
): Pick<HostConfig, 'Memory' | 'MemorySwap' | 'NanoCpus' | 'PidsLimit'> {
  return {
    Memory: limits.memoryBytes,
    MemorySwap: limits.memoryBytes,
    NanoCpus: Math.round(limits.cpus * 1e9),
    PidsLimit: limits.pids,
  };
}

export function endpointOptions({ address, aliases }: Attachment): {
  IPAMConfig: { IPv4Address: string };
  Aliases: string[];
} {
  return { IPAMConfig: { IPv4Address: address }, Aliases: [...aliases] };
}

function tmpfsOptions(all: readonly Tmpfs[]): Record<string, string> {
  return Object.fromEntries(
    // mode 1777: the process is not root and the engine makes the mount as root
    all.map(({ target, sizeBytes }) => [target, `rw,noexec,nosuid,nodev,mode=1777,size=${sizeBytes}`]),
  );
}
