/**
 * What the platform needs of a container engine, in our own words. Every method takes bounds (a deadline in
 * milliseconds and, where somebody may cancel, a signal) and throws DomainError only: ENGINE_UNREACHABLE,
 * ENGINE_REFUSED (details.status, details.reason), ENGINE_CONFLICT (the name is taken), IMAGE_MISSING,
 * NO_CAPACITY (no address, no memory), DEADLINE_EXCEEDED.
 *
 * Every method that changes something may be called twice: making what exists exactly so, starting what runs,
 * stopping what is stopped and removing what is gone all succeed and change nothing.
 */
import type { Bounds } from '#libs/async';

/** `aviary.platform`, `aviary.tenant`, `aviary.service`, `aviary.generation`, `aviary.spec-hash`, … */
export type Labels = Readonly<Record<string, string>>;

export const LABEL = {
  platform: 'aviary.platform',
  tenant: 'aviary.tenant',
  service: 'aviary.service',
  generation: 'aviary.generation',
  specHash: 'aviary.spec-hash',
  /**
   * network: `tenant` or `edge`; volume: the volume's name in the template, or `secrets`; container: `courier` for what
   * carried files into volumes and was left by a crash.
   */
  role: 'aviary.role',
  /** volume: PostgreSQL's major version whose files it holds. Those of before it was noted have none. */
  databaseMajor: 'aviary.database-major',
  /** On what was made in the place of another (`remakeContainer`): not started yet, it is to be started. */
  remade: 'aviary.remade',
} as const;

/** Whose objects a call is about. Without a tenant: all of the platform's, those of its tenants too. */
export interface Owner {
  platform: string;
  tenant?: string;
}

export interface EngineInfo {
  id: string;
  version: string;
  apiVersion: string;
  /** Lowest version the engine still answers. */
  minApiVersion: string;
  cpus: number;
  memoryBytes: number;
  /** Where the engine keeps its data, on its host. */
  dataRoot: string;
  cgroupVersion: string;
  liveRestore: boolean;
}

export interface NetworkSpec {
  name: string;
  labels: Labels;
  subnet: string;
  gateway: string;
  /** Part of the subnet the engine may hand out by itself, away from the addresses we allocate. */
  ipRange?: string;
  internal: boolean;
  /** Containers on it may talk to each other. */
  icc: boolean;
  bridgeName: string;
  mtu?: number;
}

export interface VolumeSpec {
  name: string;
  labels: Labels;
}

/** Limits the engine can change while the container runs. Memory equals swap, so nothing is ever swapped. */
export interface ContainerLimits {
  cpus: number;
  memoryBytes: number;
  pids: number;
}

export interface Mount {
  volume: string;
  target: string;
  readOnly: boolean;
}

export interface Tmpfs {
  target: string;
  sizeBytes: number;
}

export interface Attachment {
  network: string;
  address: string;
  aliases: readonly string[];
}

export interface ContainerSpec {
  name: string;
  labels: Labels;
  image: string;
  command?: readonly string[];
  environment: Readonly<Record<string, string>>;
  /** `uid:gid`, never root. */
  user: string;
  mounts: readonly Mount[];
  tmpfs: readonly Tmpfs[];
  /** The first is the default route; the others are connected before the start. */
  networks: readonly Attachment[];
  /** Host names added to /etc/hosts: name → address. */
  extraHosts: Readonly<Record<string, string>>;
  limits: ContainerLimits;
  ulimits: Readonly<Record<string, number>>;
  stopGraceSeconds: number;
  stopSignal?: string;
  restart: 'unless-stopped' | 'no';
}

export interface FileEntry {
  path: string;
  content: string | Buffer;
  mode: number;
  uid: number;
  gid: number;
}

/** Files for several volumes of one owner, brought in one go. */
export interface VolumeFilling {
  /** Name of what carries the files; it never runs and is gone afterwards. Unique to the owner. */
  name: string;
  /** Of what carries them; its role is `courier` where these name none. */
  labels: Labels;
  /** Any image the engine has; nothing of it runs. */
  image: string;
  volumes: readonly { volume: string; files: readonly FileEntry[] }[];
}

export interface ContainerState {
  id: string;
  name: string;
  labels: Labels;
  /** Image id the container was made from. */
  imageId: string;
  status: 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'dead' | 'removing';
  exitCode: number | null;
  /** True is certain; an engine may miss it when the last process is killed (then exitCode is 137 all the same). */
  oomKilled: boolean;
  startedAt: string | null;
  restartCount: number;
  /** `unless-stopped`, `no`, or a policy somebody else set. */
  restart: string;
  limits: ContainerLimits;
  /**
   * By the network's name. `networkId` is the network it was attached to, '' before the first start: one made anew by
   * the same name has another, and a container that still names the old one does not start.
   */
  networks: Readonly<Record<string, { address: string; networkId: string }>>;
}

export interface NetworkState {
  id: string;
  name: string;
  labels: Labels;
  subnet: string | null;
  internal: boolean;
}

export interface VolumeState {
  name: string;
  labels: Labels;
}

export interface EngineObjects {
  containers: ContainerState[];
  networks: NetworkState[];
  volumes: VolumeState[];
}

/** What happened to an object, in as far as somebody may have to look. */
export const EVENT_KINDS = [
  'container started',
  'container died',
  'container out of memory',
  'container changed',
  'container removed',
  'network connected',
  'network disconnected',
  'network removed',
  'volume removed',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export interface ObjectEvent {
  kind: EventKind;
  /** When it happened, by the engine's clock; it may be heard much later. */
  at: Date;
  /** Of the container, network or volume. */
  name: string;
  /** The container that died, or that a network got or lost; null where none is concerned. */
  containerId: string | null;
  /** Null for networks and volumes: an engine tells no labels of those, so whose they are is known by name only. */
  labels: Labels | null;
  /** Of a container that died. */
  exitCode: number | null;
}

/**
 * `resync`: from here on events are told, and earlier ones may have been missed, so everything is to be looked at; the
 * first of all, and again after each loss. `lost`: none are told until the next `resync`.
 */
export type EngineEvent = { kind: 'resync' } | { kind: 'lost'; reason: string } | ObjectEvent;

export interface Engine {
  info(bounds: Bounds): Promise<EngineInfo>;

  /** Everything whose labels name this owner, stopped or running; inspected. */
  observe(owner: Owner, bounds: Bounds): Promise<EngineObjects>;

  /** The image's id (`sha256:…`), or null when the engine does not have it. Never pulls. */
  imageId(reference: string, bounds: Bounds): Promise<string | null>;

  /** What the image sets for whatever runs of it, by the variables' names; null when the engine does not have it. */
  imageEnvironment(reference: string, bounds: Bounds): Promise<Readonly<Record<string, string>> | null>;

  /**
   * What happens from now on to containers whose labels prove this owner, and to any network or volume. Goes on until
   * the signal fires, over every loss of the connection, and a silent one is opened anew: an engine that hangs and one
   * where nothing happens look alike. Never throws because of the engine.
   */
  events(owner: Owner, signal: AbortSignal): AsyncIterable<EngineEvent>;

  createNetwork(spec: NetworkSpec, bounds: Bounds): Promise<void>;
  /** Disconnects what is still attached, then removes. Refuses (ENGINE_CONFLICT) what the owner's labels do not prove. */
  removeNetwork(name: string, owner: Owner, bounds: Bounds): Promise<void>;

  createVolume(spec: VolumeSpec, bounds: Bounds): Promise<void>;
  removeVolume(name: string, owner: Owner, bounds: Bounds): Promise<void>;

  /** Creates and connects to all networks; does not start. */
  createContainer(spec: ContainerSpec, bounds: Bounds): Promise<void>;
  /** Puts files below `directory` of a container, created or running; `directory` is one of its volumes. */
  putFiles(container: string, directory: string, files: readonly FileEntry[], bounds: Bounds): Promise<void>;
  /**
   * Puts files at the roots of volumes that exist, mounted anywhere or nowhere: one call takes as long as putFiles for
   * one container, and needs neither networks nor containers, so it can go on beside making those.
   */
  fillVolumes(filling: VolumeFilling, bounds: Bounds): Promise<void>;
  startContainer(name: string, bounds: Bounds): Promise<void>;
  /** Lets go on what somebody paused; nothing happens to one that is not. */
  unpauseContainer(name: string, bounds: Bounds): Promise<void>;
  /** Signals, waits `graceSeconds`, then kills. The bounds must leave room for the grace. */
  stopContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void>;
  /**
   * Stops one that runs as `stopContainer` does, and starts it; one that does not run is started. The engine does both
   * for one call, so that nothing stays stopped of which the caller died in between. Throws ENGINE_REFUSED where there is none, as `startContainer` does.
   */
  restartContainer(name: string, graceSeconds: number, bounds: Bounds): Promise<void>;
  removeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void>;
  /**
   * Puts a new container of the same configuration, networks and named volumes in the place of one that does not run,
   * without starting it. Throws NOT_FOUND where there is none, ENGINE_CONFLICT for what is not the owner's, and
   * WRONG_STATE for one that runs. For those the engine can never start again (`startsNever`). The old one stands
   * aside (`asideOf`) until the new one is whole; called again after a crash, it finishes what was begun.
   */
  remakeContainer(name: string, owner: Owner, bounds: Bounds): Promise<void>;
  updateLimits(name: string, limits: ContainerLimits, bounds: Bounds): Promise<void>;
  setRestart(name: string, restart: 'unless-stopped' | 'no', bounds: Bounds): Promise<void>;
  connectNetwork(container: string, attachment: Attachment, bounds: Bounds): Promise<void>;
  disconnectNetwork(container: string, network: string, bounds: Bounds): Promise<void>;

  /**
   * The files below `directory` of a container, running or not, as its volumes hold them; none where the directory is
   * not there. Runs nothing inside.
   */
  readFiles(container: string, directory: string, bounds: Bounds): Promise<FileEntry[]>;

  /** The last lines of both streams, oldest first, without time stamps. */
  logTail(container: string, lines: number, bounds: Bounds): Promise<string[]>;

  /** Runs a helper container to its end and removes it; used for the firewall. Resolves with exit code and output. */
  runOnce(spec: HelperSpec, bounds: Bounds): Promise<{ exitCode: number; output: string }>;
}

export interface HelperSpec {
  name: string;
  labels: Labels;
  image: string;
  command: readonly string[];
  stdin?: string;
  hostNetwork: boolean;
  capabilities: readonly string[];
  user: string;
}
