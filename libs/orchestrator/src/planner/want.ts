import type { DesiredState, HoldReason, StackLimits } from '#libs/contracts';
import {
  LABEL,
  specHash,
  type ContainerSpec,
  type Labels,
  type NetworkSpec,
  type Owner,
  type VolumeSpec,
} from '#libs/engine';
import {
  databaseMajorOf,
  edgeAddress,
  edgeNames,
  edgeSubnet,
  stackNames,
  tenantAddress,
  tenantSubnet,
  type AddressPool,
  type Template,
} from '#libs/tenants';

/** Where every secret volume is mounted, read-only. */
export const SECRETS_DIRECTORY = '/run/aviary';

/** Everything the platform's rows say of one stack. */
export interface StackFacts {
  platformId: string;
  tenantId: string;
  slug: string;
  generation: number;
  epoch: number;
  /** The epoch a restore is filling, and those that restores took the place of, until the next good backup. */
  nextEpoch: number | null;
  keptEpochs: readonly number[];
  /** Those of another major version of the database, which an upgrade took the place of, until then too. */
  carriedEpochs: readonly number[];
  /** A backup goes on beside it: the server it is proven on is in use. */
  backingUp: boolean;
  desired: DesiredState;
  holds: readonly HoldReason[];
  limits: StackLimits;
  template: Template;
  /** Image id by service: what was pinned, whatever the tag means today. */
  images: Readonly<Record<string, string>>;
  subnet: number;
  /** Slot on an edge bridge by service. */
  edges: Readonly<Record<string, { edge: number; slot: number }>>;
  pool: AddressPool;
  /** Names that must lead to this host from inside the stack (the portal's and the stack's own). */
  hostsOnGateway: readonly string[];
  /** Proven domains of the owner's own with a certificate: they lead to the dashboard too. */
  domains: readonly string[];
  mtu?: number;
  release: string;
  /** The only generation whose runtime may create its schema in an empty database; 0: none any more. */
  provisioningGeneration: number;
  /** Whose database its runtime may find, once. */
  clonedFrom: string | null;
  /** Since when nothing of it may trade. */
  tradingHeldSince: string | null;
  /**
   * The open upgrade whose end its runtime waits for before it trades: it carried the data to the volumes of now, which
   * are given up where it fails.
   */
  tradesAfter: string | null;
}

export interface WantedContainer {
  service: string;
  spec: ContainerSpec;
}

export interface StackWant {
  owner: Required<Owner>;
  /** Effectively running: wanted, and nothing holds it back. */
  run: boolean;
  /** Nothing at all is to be left. */
  gone: boolean;
  edges: readonly number[];
  network: NetworkSpec;
  volumes: readonly VolumeSpec[];
  /** Volumes with data that exists nowhere else: if one is not there, it was lost, and none is made in its place. */
  keeps: readonly string[];
  /** Volumes nobody mounts now and that are not to be taken for orphans. */
  spares: readonly string[];
  /** Whether the server beside the stack, on which backups are proven, is in use. */
  scratch: boolean;
  containers: readonly WantedContainer[];
  /** Services in the order they are stopped: what trades first, what it stores in last. */
  stopOrder: readonly (readonly string[])[];
}

const MIB = 1024 * 1024;
/** Below this PostgreSQL cannot start its own processes. */
const LEAST_PIDS = 48;

function containerSpec(facts: StackFacts, service: string, position: number): ContainerSpec {
  const part = facts.template.services[service];
  const share = facts.template.aviary.shares[service];
  if (!part || !share) {
    throw new Error(`template ${facts.template.name} has no service ${service}`);
  }
  const names = stackNames(facts.platformId, facts.slug);
  const inner = {
    network: names.tenantNetwork,
    address: tenantAddress(facts.pool, facts.subnet, position),
    aliases: [service],
  };
  const slot = facts.edges[service];
  // The edge comes first: the first network is the default route, and the inner one has none to offer.
  const networks = slot
    ? [
        {
          network: edgeNames(facts.platformId, slot.edge).network,
          address: edgeAddress(facts.pool, slot.edge, slot.slot),
          aliases: [],
        },
        inner,
      ]
    : [inner];
  const gateway = slot ? edgeSubnet(facts.pool, slot.edge).gateway : null;
  const spec: ContainerSpec = {
    name: names.container(service),
    labels: {},
    image: facts.images[service] ?? part.image,
    ...(part.command ? { command: part.command } : {}),
    environment: part.environment,
    user: part.user,
    mounts: [
      ...part.volumes.map(({ volume, target, readOnly }) => ({
        volume: names.volume(volume, facts.epoch),
        target,
        readOnly,
      })),
      ...(facts.template.aviary.files[service]
        ? [{ volume: names.secrets(service), target: SECRETS_DIRECTORY, readOnly: true }]
        : []),
    ],
    tmpfs: part.tmpfs,
    networks,
    extraHosts: gateway === null ? {} : Object.fromEntries(facts.hostsOnGateway.map((host) => [host, gateway])),
    limits: {
      cpus: Math.round(facts.limits.cpus * share.cpus * 1_000) / 1_000,
      memoryBytes: Math.floor(facts.limits.memoryMb * share.memory) * MIB,
      pids: Math.max(LEAST_PIDS, Math.floor(facts.limits.pids * share.memory)),
    },
    ulimits: { nofile: 4_096, core: 0 },
    stopGraceSeconds: part.stop_grace_period,
    ...(part.stop_signal ? { stopSignal: part.stop_signal } : {}),
    // What the breaker stopped stays down until a person starts it, also when the engine comes back.
    restart: facts.holds.includes('breaker') ? 'no' : 'unless-stopped',
  };
  return {
    ...spec,
    labels: {
      [LABEL.platform]: facts.platformId,
      [LABEL.tenant]: facts.tenantId,
      [LABEL.service]: service,
      [LABEL.generation]: String(facts.generation),
      [LABEL.specHash]: specHash(spec),
    },
  };
}

/** What is backed up, once the stack was served; before, nothing is there yet. */
function keeps({ template, epoch, platformId, slug, ...facts }: StackFacts): string[] {
  if (facts.provisioningGeneration === facts.generation) {
    return [];
  }
  const { postgres, volumes } = template.aviary.backup;
  const held = postgres.flatMap((service) => template.services[service]?.volumes.map(({ volume }) => volume) ?? []);
  const names = stackNames(platformId, slug);
  return [...new Set([...held, ...volumes])].map((volume) => names.volume(volume, epoch));
}

/** Epochs of volumes that nobody mounts now and that are not to be lost before the next good backup. */
export function spareEpochs({
  nextEpoch,
  keptEpochs,
  carriedEpochs,
}: Pick<StackFacts, 'nextEpoch' | 'keptEpochs' | 'carriedEpochs'>): number[] {
  return [...(nextEpoch === null ? [] : [nextEpoch]), ...keptEpochs, ...carriedEpochs];
}

/** The epoch whose volumes may be filled anew for the stack: above all that hold data of it. */
export function epochToFill({
  epoch,
  keptEpochs,
  carriedEpochs,
}: Pick<StackFacts, 'epoch' | 'keptEpochs' | 'carriedEpochs'>): number {
  return Math.max(epoch, ...keptEpochs, ...carriedEpochs) + 1;
}

/** A volume of the stack's data says which server its files are of, where they are a database's. */
export function dataLabels(template: Template, volume: string): Labels {
  const ofDatabase = template.aviary.backup.postgres.some(
    (service) => template.services[service]?.volumes[0]?.volume === volume,
  );
  return {
    [LABEL.role]: volume,
    ...(ofDatabase ? { [LABEL.databaseMajor]: String(databaseMajorOf(template)) } : {}),
  };
}

/** What the engine should hold for a stack: a function of rows, so it can be worked out anywhere and compared. */
export function wantStack(facts: StackFacts): StackWant {
  const names = stackNames(facts.platformId, facts.slug);
  const services = Object.keys(facts.template.services).toSorted();
  const owner = { platform: facts.platformId, tenant: facts.tenantId };
  const labels = { [LABEL.platform]: facts.platformId, [LABEL.tenant]: facts.tenantId };
  const gone = facts.desired === 'deleted';
  const { cidr, gateway } = tenantSubnet(facts.pool, facts.subnet);
  const order = facts.template.aviary.upgradeOrder;
  const stopOrder = [...order].toReversed().map((service) => [service]);
  return {
    owner,
    run: facts.desired === 'running' && facts.holds.length === 0,
    gone,
    edges: gone ? [] : [...new Set(Object.values(facts.edges).map(({ edge }) => edge))].toSorted((a, b) => a - b),
    network: {
      name: names.tenantNetwork,
      labels: { ...labels, [LABEL.role]: 'tenant' },
      subnet: cidr,
      gateway,
      internal: true,
      icc: true,
      bridgeName: names.tenantBridge,
      ...(facts.mtu === undefined ? {} : { mtu: facts.mtu }),
    },
    volumes: [
      ...Object.keys(facts.template.volumes).map((volume) => ({
        name: names.volume(volume, facts.epoch),
        labels: { ...labels, ...dataLabels(facts.template, volume) },
      })),
      ...services
        .filter((service) => facts.template.aviary.files[service])
        .map((service) => ({
          name: names.secrets(service),
          labels: { ...labels, [LABEL.role]: 'secrets', [LABEL.service]: service },
        })),
    ],
    keeps: keeps(facts),
    spares: spareEpochs(facts).flatMap((epoch) =>
      Object.keys(facts.template.volumes).map((volume) => names.volume(volume, epoch)),
    ),
    scratch: facts.backingUp,
    containers: services.map((service, position) => ({ service, spec: containerSpec(facts, service, position) })),
    stopOrder,
  };
}
