import { containerLabels } from '../checks.js';
import type { Attachment, ContainerLimits, ContainerSpec, ContainerState, HelperSpec, Labels } from '../port.js';

const HELPER_LIMITS: ContainerLimits = { cpus: 1, memoryBytes: 128 * 1024 * 1024, pids: 64 };

export interface FakeContainer {
  id: string;
  imageId: string;
  spec: ContainerSpec;
  labels: Labels;
  limits: ContainerLimits;
  restart: 'unless-stopped' | 'no';
  /** With the network each was made for; '' before the first start. */
  attachments: (Attachment & { networkId: string })[];
  status: ContainerState['status'];
  exitCode: number | null;
  oomKilled: boolean;
  startedAt: string | null;
  restartCount: number;
  log: string[];
  stdin: string;
}

export function newContainer(id: string, imageId: string, spec: ContainerSpec): FakeContainer {
  return {
    id,
    imageId,
    spec: structuredClone(spec),
    labels: containerLabels(spec),
    limits: { ...spec.limits },
    restart: spec.restart,
    attachments: spec.networks.slice(0, 1).map((attachment) => ({ ...attachment, networkId: '' })),
    status: 'created',
    exitCode: null,
    oomKilled: false,
    startedAt: null,
    restartCount: 0,
    log: [],
    stdin: '',
  };
}

/** A helper seen as a container, so that it starts and ends by the same rules. */
export function asContainer({ name, labels, image, command, user }: HelperSpec): ContainerSpec {
  return {
    name,
    labels,
    image,
    command,
    environment: {},
    user,
    mounts: [],
    tmpfs: [],
    networks: [],
    extraHosts: {},
    limits: HELPER_LIMITS,
    ulimits: {},
    stopGraceSeconds: 0,
    restart: 'no',
  };
}

export function stateOf(container: FakeContainer): ContainerState {
  const { id, imageId, labels, status, oomKilled, startedAt, restartCount, restart, limits } = container;
  return {
    id,
    name: container.spec.name,
    labels: { ...labels },
    imageId,
    status,
    exitCode: container.exitCode,
    oomKilled,
    startedAt,
    restartCount,
    restart,
    limits: { ...limits },
    networks: Object.fromEntries(
      container.attachments.map(({ network, address, networkId }) => [network, { address, networkId }]),
    ),
  };
}
