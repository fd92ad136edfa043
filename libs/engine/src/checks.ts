import { DomainError } from '#libs/contracts';
import { LABEL, type ContainerSpec, type FileEntry, type HelperSpec, type Labels, type VolumeFilling } from './port.js';
import { specHash } from './spec-hash.js';

function refuse(message: string, details: Record<string, unknown>): never {
  throw new DomainError('ENGINE_REFUSED', { message, details: { ...details, status: 400, reason: message } });
}

/** What no adapter may make: an object nobody could later prove ours, or a process that is root. */
export function checkContainerSpec(spec: ContainerSpec): void {
  checkLabels(spec.name, spec.labels);
  const uid = /^(\d+):\d+$/.exec(spec.user)?.[1];
  if (uid === undefined || Number(uid) === 0) {
    refuse(`The container ${spec.name} must run as a numeric uid:gid other than root.`, { user: spec.user });
  }
  const { cpus, memoryBytes, pids } = spec.limits;
  if (!(cpus > 0) || !(memoryBytes > 0) || !(pids > 0)) {
    refuse(`The container ${spec.name} needs limits for CPU, memory and processes.`, { limits: spec.limits });
  }
}

export function checkHelperSpec(spec: HelperSpec): void {
  checkLabels(spec.name, spec.labels);
}

export function checkLabels(name: string, labels: Labels): void {
  if (!labels[LABEL.platform]) {
    refuse(`${name} carries no platform label, so nobody could prove it ours.`, { name });
  }
}

export function checkFiles(files: readonly FileEntry[]): void {
  for (const { path } of files) {
    if (path === '' || path.startsWith('/') || path.split('/').some((part) => ['', '.', '..'].includes(part))) {
      refuse('A file’s path must stay below its directory.', { path });
    }
  }
}

export function checkFilling({ name, labels, volumes }: VolumeFilling): void {
  checkLabels(name, labels);
  for (const { files } of volumes) {
    checkFiles(files);
  }
}

/** The labels a container gets: its spec's hash is among them whether or not the caller put it there. */
export function containerLabels(spec: ContainerSpec): Labels {
  return { [LABEL.specHash]: specHash(spec), ...spec.labels };
}
