import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BackupPart } from '#libs/db';
import { LABEL, type ContainerSpec, type Engine, type EngineStreams, type Owner } from '#libs/engine';
import { wantStack, type StackFacts } from '#libs/orchestrator';
import type { Repository } from '#libs/restic';
import { SCRATCH, stackNames } from '#libs/tenants';
import type { VolumeManifest } from './domain/manifest.js';
import { Meter, requireAsStored } from './meter.js';

const CALL_MS = 60_000;

interface VolumePart {
  repository: Repository;
  volume: VolumeManifest;
  part: BackupPart;
  signal: AbortSignal;
}

/** Which of the stack's containers has that volume, and where in it. */
export function placeOfVolume(facts: StackFacts, volume: string): { spec: ContainerSpec; target: string } {
  for (const { service, spec } of wantStack(facts).containers) {
    const mount = facts.template.services[service]?.volumes.find((one) => one.volume === volume);
    if (mount) {
      return { spec, target: mount.target };
    }
  }
  throw new Error(`no service of ${facts.template.name} mounts ${volume}`);
}

/**
 * Makes the volume of that epoch and fills it out of the repository. Throws BACKUP_UNVERIFIED where the archive is not
 * what was stored.
 */
export async function loadVolume(
  work: VolumePart & { engine: Engine; streams: EngineStreams; facts: StackFacts; epoch: number },
): Promise<void> {
  const { engine, streams, facts, epoch, volume, signal } = work;
  await fillVolume({ engine, facts, volume: volume.volume, epoch, signal }, ({ container, owner, folder }) =>
    comparing(work, (tar) => streams.unpack(container, owner, { folder, tar }, signal)),
  );
}

interface Filling {
  engine: Engine;
  facts: StackFacts;
  /** By its name in the template. */
  volume: string;
  epoch: number;
  signal: AbortSignal;
}

/** Makes the volume of that epoch, to be filled through a container that mounts it as the stack's own does and never runs. */
export async function fillVolume(
  { engine, facts, volume, epoch, signal }: Filling,
  fill: (at: { container: string; owner: Owner; folder: string }) => Promise<void>,
): Promise<void> {
  const names = stackNames(facts.platformId, facts.slug);
  const owner = { platform: facts.platformId, tenant: facts.tenantId };
  const labels = { [LABEL.platform]: owner.platform, [LABEL.tenant]: owner.tenant };
  const bounds = { deadlineMs: CALL_MS, signal };
  const { spec, target } = placeOfVolume(facts, volume);
  const name = names.volume(volume, epoch);
  const carrier = names.container(SCRATCH);
  await engine.createVolume({ name, labels: { ...labels, [LABEL.role]: volume } }, bounds);
  await engine.createContainer(
    {
      ...spec,
      name: carrier,
      labels: { ...labels, [LABEL.role]: SCRATCH },
      mounts: [{ volume: name, target, readOnly: false }],
      networks: [],
      extraHosts: {},
      restart: 'no',
    },
    bounds,
  );
  try {
    await fill({ container: carrier, owner, folder: target });
  } finally {
    await engine.removeContainer(carrier, owner, { deadlineMs: CALL_MS });
  }
}

async function comparing(
  { repository, volume, part, signal }: VolumePart,
  take: (archive: Readable) => Promise<void>,
): Promise<void> {
  const { stream, ended } = await repository.open(part.snapshotId, part.name, signal);
  const meter = new Meter();
  let cutByUs = false;
  const piped = pipeline(stream, meter);
  const taking = take(meter).catch((error: unknown) => {
    cutByUs = !stream.readableEnded;
    meter.destroy();
    throw error;
  });
  const [taken, read] = await Promise.allSettled([taking, ended, piped]);
  signal.throwIfAborted();
  // An archive that broke off in the repository is why it could not be taken, unless taking it was broken off first.
  for (const outcome of cutByUs ? [taken, read] : [read, taken]) {
    if (outcome.status === 'rejected') {
      throw outcome.reason;
    }
  }
  requireAsStored({ name: part.name, bytes: volume.bytes, sha256: volume.sha256 }, meter);
}
