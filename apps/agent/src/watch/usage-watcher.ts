import type { Bounds } from '#libs/async';
import type { Database } from '#libs/db';
import { LABEL, type EngineWatch } from '#libs/engine';
import { SCRATCH, recordUsage, type EngineSample, type UsageSample } from '#libs/tenants';
import type { ContainerFigures, HostFiles, HostFigures } from './host-files.js';
import { sampleHost, sampleStacks, type Look, type Place } from './meter.js';

const LIST_MS = 15_000;
const DISK_MS = 120_000;

interface WatcherDeps {
  engine: EngineWatch;
  files: Pick<HostFiles, 'containers' | 'host'>;
  dataSource: Database;
  platformId: string;
  engineId: string;
  now: () => Date;
  /** Milliseconds of a clock that only goes forward. */
  clock: () => number;
}

/** What is known of stacks and host since the last pass, for whoever shows it at once. */
export interface LastUsage {
  at: Date;
  /** Since the pass before; null for the first. */
  seconds: number | null;
  stacks: readonly UsageSample[];
  engine: EngineSample;
}

/** Measures stacks and host, one pass at a time, and keeps what it saw in the portal's database. */
export class UsageWatcher {
  private containers: Look<Map<string, ContainerFigures>> | undefined;
  private host: Look<HostFigures> | undefined;
  /** Bytes by stack, measured and not yet written. */
  private disk = new Map<string, number>();
  private last: LastUsage | null = null;

  constructor(private readonly deps: WatcherDeps) {}

  get latest(): LastUsage | null {
    return this.last;
  }

  async turn(signal?: AbortSignal): Promise<LastUsage> {
    const { engine, files, dataSource, platformId, engineId, now, clock } = this.deps;
    const running = await engine.running({ platform: platformId }, bounds(LIST_MS, signal));
    const places = new Map(
      running.flatMap(({ id, labels }): [string, Place][] => {
        const { [LABEL.tenant]: tenantId, [LABEL.service]: service } = labels;
        return tenantId === undefined || service === undefined ? [] : [[id, { tenantId, service }]];
      }),
    );
    const containers = {
      atMs: clock(),
      figures: await files.containers(running.filter(({ id }) => places.has(id))),
    };
    const host = { atMs: clock(), figures: await files.host() };
    const samples = sampleStacks(places, this.containers, containers);
    const engineSample = sampleHost(this.host, host);
    const seconds = this.containers ? (containers.atMs - this.containers.atMs) / 1_000 : null;
    this.containers = containers;
    this.host = host;
    const disk = this.disk;
    for (const [tenantId, diskBytes] of disk) {
      samples.set(tenantId, { ...(samples.get(tenantId) ?? resting(tenantId)), diskBytes });
    }
    const stacks = [...samples.values()];
    const at = now();
    await recordUsage(dataSource, { engineId, at, stacks, engine: engineSample });
    if (this.disk === disk) {
      this.disk = new Map();
    }
    this.last = { at, seconds, stacks, engine: engineSample };
    return this.last;
  }

  /** What the next pass writes as the stacks' disk: bytes of their volumes and of what containers wrote beside them. */
  async measureDisk(signal?: AbortSignal): Promise<ReadonlyMap<string, number>> {
    const { engine, platformId } = this.deps;
    const disk = new Map<string, number>();
    const found = await engine.diskUse({ platform: platformId }, bounds(DISK_MS, signal));
    const isSpare = await this.spares();
    for (const { name, labels, bytes } of found) {
      const tenantId = labels[LABEL.tenant];
      // What the platform puts beside a stack for its backups is not the customer's use of their plan.
      if (tenantId !== undefined && labels[LABEL.role] !== SCRATCH && !isSpare(tenantId, name)) {
        disk.set(tenantId, (disk.get(tenantId) ?? 0) + bytes);
      }
    }
    this.disk = disk;
    return disk;
  }

  /** Volumes that a restore or an upgrade fills, or that one took the place of. */
  private async spares(): Promise<(tenantId: string, name: string) => boolean> {
    const rows = await this.deps.dataSource.query<{ id: string; epochs: number[] }[]>(
      `select id, array_remove(kept_epochs || carried_epochs || next_epoch, null) as epochs from tenants
        where next_epoch is not null or kept_epochs <> '{}' or carried_epochs <> '{}'`,
    );
    const epochs = new Map(rows.map((row) => [row.id, row.epochs]));
    return (tenantId, name) => epochs.get(tenantId)?.some((epoch) => name.endsWith(`-${epoch}`)) === true;
  }
}

const bounds = (deadlineMs: number, signal: AbortSignal | undefined): Bounds =>
  signal ? { deadlineMs, signal } : { deadlineMs };

/** A stack of which nothing runs still has its disk. */
const resting = (tenantId: string): UsageSample => ({
  tenantId,
  cpu: 0,
  memoryBytes: 0,
  receivedBytes: 0,
  sentBytes: 0,
  diskBytes: null,
  services: [],
});
