import { createHash } from 'node:crypto';
import { DomainError } from '#libs/contracts';
import type { Attachment, Labels, NetworkSpec, NetworkState } from '../port.js';
import { contains, overlaps } from './addresses.js';
import type { FakeContainer } from './fake-container.js';
import type { FakeFile } from './processes.js';

export interface FakeVolume {
  labels: Labels;
  files: Map<string, FakeFile>;
}

export interface FakeNetwork {
  id: string;
  spec: NetworkSpec;
}

export function refused(status: number, reason: string, details: Record<string, unknown> = {}): DomainError {
  return new DomainError('ENGINE_REFUSED', {
    message: `The engine refused a request: ${reason}`,
    details: { status, reason, ...details },
  });
}

export function noRoom(reason: string): DomainError {
  return new DomainError('NO_CAPACITY', {
    message: `The engine has no room: ${reason}`,
    details: { status: 403, reason },
  });
}

/** What the in-memory engine holds, and the rules of a bridge network. */
export class World {
  readonly containers = new Map<string, FakeContainer>();
  readonly networks = new Map<string, FakeNetwork>();
  readonly volumes = new Map<string, FakeVolume>();
  readonly images = new Map<string, string>();
  /** By the image's id. */
  readonly environments = new Map<string, Readonly<Record<string, string>>>();
  private made = 0;

  /** 64 hex digits that depend on the order of creation alone. */
  newId(): string {
    this.made += 1;
    return createHash('sha256').update(`object ${this.made}`).digest('hex');
  }

  imageId(reference: string): string | null {
    return this.images.get(reference) ?? ([...this.images.values()].includes(reference) ? reference : null);
  }

  container(name: string): FakeContainer {
    const found = this.containers.get(name);
    if (!found) {
      throw refused(404, `No such container: ${name}`);
    }
    return found;
  }

  volume(name: string): FakeVolume {
    const found = this.volumes.get(name);
    if (!found) {
      throw refused(404, 'no such volume', { volume: name });
    }
    return found;
  }

  /** Checks what a real engine checks between networks: subnets and bridge names are the host's. */
  admit(spec: NetworkSpec): void {
    for (const { spec: other } of this.networks.values()) {
      if (overlaps(other.subnet, spec.subnet)) {
        throw noRoom('Pool overlaps with other one on this address space');
      }
      if (other.bridgeName === spec.bridgeName) {
        throw refused(403, `conflicts with network ${other.name}: networks have same bridge name`);
      }
    }
    if (!contains(spec.subnet, spec.gateway)) {
      throw refused(400, `gateway ${spec.gateway} is not in ${spec.subnet}`);
    }
  }

  /** What happens to an address at start: only running containers hold one. Gives the network's id. */
  claim(container: FakeContainer, { network, address, networkId = '' }: Attachment & { networkId?: string }): string {
    const { id, spec } = this.networks.get(network) ?? {};
    if (!spec || id === undefined || (networkId !== '' && networkId !== id)) {
      throw refused(404, `network ${networkId || network} not found`);
    }
    if (!contains(spec.subnet, address)) {
      throw refused(500, `Invalid address ${address}: It does not belong to any of this network's subnets`);
    }
    const taken =
      address === spec.gateway ||
      [...this.containers.values()].some(
        (other) =>
          other !== container &&
          other.status === 'running' &&
          other.attachments.some((theirs) => theirs.network === network && theirs.address === address),
      );
    if (taken) {
      throw noRoom('Address already in use');
    }
    return id;
  }

  /** Deepest mount first, as the kernel resolves it. */
  file(container: FakeContainer, path: string): FakeFile | undefined {
    const mount = [...container.spec.mounts]
      .filter(({ target }) => path.startsWith(`${target}/`))
      .sort((a, b) => b.target.length - a.target.length)[0];
    return mount && this.volumes.get(mount.volume)?.files.get(path.slice(mount.target.length + 1));
  }
}

export function networkState({ id, spec }: FakeNetwork): NetworkState {
  return { id, name: spec.name, labels: { ...spec.labels }, subnet: spec.subnet, internal: spec.internal };
}
