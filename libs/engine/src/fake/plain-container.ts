import type { ContainerSpec, Labels } from '../port.js';

/** A container for tests that have nothing to say about it but its name and whose it is. */
export function plainContainer(name: string, labels: Labels, change: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    name,
    labels,
    image: 'sha256:aa',
    environment: {},
    user: '999:999',
    mounts: [],
    tmpfs: [],
    networks: [],
    extraHosts: {},
    limits: { cpus: 1, memoryBytes: 64 * 1024 ** 2, pids: 64 },
    ulimits: {},
    stopGraceSeconds: 10,
    restart: 'no',
    ...change,
  };
}
