import { Readable } from 'node:stream';
import { In } from 'typeorm';
import { DomainError } from '#libs/contracts';
import {
  BackupEntity,
  ReleaseEntity,
  TenantEntity,
  TenantSecretEntity,
  type BackupPart,
  type Database,
} from '#libs/db';
import type { BackupWork, StackBackups } from '#libs/orchestrator';
import type { Repository } from '#libs/restic';
import { stackNames } from '#libs/tenants';
import { begin, failed, moved } from './backup-rows.js';
import { manifestSchema, totals, type Manifest } from './domain/manifest.js';
import { expired, type RetentionPolicy } from './domain/retention.js';
import { dumpDatabase } from './dump.js';
import { loadDatabase } from './load.js';
import type { Repositories } from './repositories.js';
import { requireRoom, takenByLoading, type Room } from './room.js';
import { readBack, storeStream } from './store.js';
import { databaseOf, ScratchServer, type ScratchPlan } from './scratch.js';
import { loadVolume, placeOfVolume, proveVolume } from './volumes.js';

/** Every check reads one of so many parts of the repository's data, and each the next. */
const CHECKED_PARTS = 10;
const CALL_MS = 60_000;
/** The manifest, and what else is known of the stack. */
const MANIFEST = 'manifest.json';
const DONE_BEFORE = 'done before';

export interface StackBackupDeps {
  dataSource: Database;
  repositories: Repositories;
  /** Of every stack. */
  retention: RetentionPolicy;
  /** Of the platform's days. */
  zone: string;
  /** Where stacks of this engine are loaded. */
  room: () => Promise<Room>;
  now: () => Date;
}

const tagOf = (backupId: string): string => `backup=${backupId}`;
const inMb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Backups of stacks in their own restic repositories. Each phase begins anew where it was broken off. */
export class ResticBackups implements StackBackups {
  constructor(private readonly deps: StackBackupDeps) {}

  async dump(work: BackupWork): Promise<string> {
    const { dataSource, now } = this.deps;
    const { facts, streams, operation, signal } = work;
    const backup = await begin(dataSource, operation, facts, now());
    if (backup.state !== 'taking' && backup.state !== 'failed') {
      return DONE_BEFORE;
    }
    return this.telling(work, backup, async () => {
      const tag = tagOf(backup.id);
      const made = await this.deps.repositories.ensure(facts.tenantId, { tag, now: now(), signal });
      const { repository, tagged: broken } = made;
      await free(work, repository);
      await repository.forget(
        broken.map(({ id }) => id),
        signal,
      );
      const parts: BackupPart[] = [];
      const databases: Manifest['databases'] = [];
      let takenAt = now();
      for (const service of facts.template.aviary.backup.postgres) {
        const part = { name: `${service}.dump`, tags: [tag], host: facts.slug };
        const place = databaseOf(facts, service);
        const dumped = await dumpDatabase({ streams, repository, place, service, part, signal });
        parts.push(dumped.part);
        databases.push(dumped.database);
        takenAt = dumped.takenAt;
      }
      const manifest: Manifest = {
        version: 1,
        backup: backup.id,
        platform: facts.platformId,
        tenant: facts.tenantId,
        slug: facts.slug,
        release: facts.release,
        template: facts.template.name,
        takenAt: takenAt.toISOString(),
        databases,
        volumes: [],
      };
      await moved(dataSource, backup, ['taking', 'dumped', 'failed'], {
        state: 'dumped',
        dumpedAt: now(),
        takenAt,
        parts,
        manifest,
        error: null,
      });
      const { bytes, rows, tables } = totals(manifest);
      return `${inMb(bytes)}, ${rows} rows in ${tables} tables`;
    });
  }

  async store(work: BackupWork): Promise<string> {
    const { dataSource, now } = this.deps;
    const { facts, streams, operation, signal } = work;
    const { backup, manifest, repository } = await this.begun(work);
    if (backup.state === 'stored' || backup.state === 'verified') {
      return DONE_BEFORE;
    }
    return this.telling(work, backup, async () => {
      await free(work, repository);
      const own = { tags: [tagOf(backup.id)], host: facts.slug };
      const dumps = backup.parts.filter(({ name }) => manifest.databases.some(({ part }) => part === name));
      const parts = [...dumps];
      const volumes: Manifest['volumes'] = [];
      for (const volume of facts.template.aviary.backup.volumes) {
        const { spec, target } = placeOfVolume(facts, volume);
        const owner = { platform: facts.platformId, tenant: facts.tenantId };
        const tar = await streams.pack(spec.name, owner, target, signal);
        const part = await storeStream(repository, { ...own, name: `${volume}.tar` }, tar, signal);
        parts.push(part);
        volumes.push({ volume, part: part.name, bytes: part.bytes, sha256: part.sha256 });
      }
      const whole = { ...manifest, volumes };
      const written = `${JSON.stringify({ manifest: whole, stack: await this.known(work) }, null, 1)}\n`;
      const list = await storeStream(repository, { ...own, name: MANIFEST }, Readable.from(written), signal);
      parts.push(list);
      await readBack(repository, { list, written, volumes: parts.slice(dumps.length, -1) }, signal);
      await moved(dataSource, backup, ['dumped', 'stored', 'failed'], {
        state: 'stored',
        storedAt: now(),
        parts,
        manifest: whole,
        error: null,
      });
      const added = parts.reduce((sum, { addedBytes }) => sum + addedBytes, 0);
      return `the repository grew by ${inMb(added)} (${operation.kind})`;
    });
  }

  async prove(work: BackupWork): Promise<string> {
    const { dataSource, now } = this.deps;
    const { facts, engine, streams, signal } = work;
    const { backup, manifest, repository } = await this.begun(work);
    if (backup.state === 'verified') {
      return DONE_BEFORE;
    }
    return this.telling(work, backup, async () => {
      requireRoom(takenByLoading(manifest), await this.deps.room());
      for (const database of manifest.databases) {
        const { service } = database;
        await onScratch({ engine, streams, facts, service, data: null, signal }, async ({ place: into }) => {
          const part = partOf(backup, database.part);
          await loadDatabase({ streams, repository, database, part, into, signal });
        });
      }
      for (const volume of manifest.volumes) {
        await proveVolume({ repository, volume, part: partOf(backup, volume.part), signal });
      }
      await this.checkPart(work, repository);
      await moved(dataSource, backup, ['stored', 'verified'], { state: 'verified', verifiedAt: now(), error: null });
      if (work.operation.kind === 'backup') {
        await this.dropSpares(work);
        await this.prune(repository, work);
      }
      const { rows, tables } = totals(manifest);
      return `restored and compared: ${rows} rows in ${tables} tables`;
    });
  }

  async load(work: BackupWork): Promise<string> {
    const { dataSource } = this.deps;
    const { facts, engine, streams, signal } = work;
    const backup = await this.chosen(work);
    const manifest = manifestSchema.parse(backup.manifest);
    const repository = await this.deps.repositories.find(facts.tenantId);
    if (!repository) {
      throw new DomainError('REPOSITORY_MISSING');
    }
    const { volumes } = manifest;
    requireRoom(
      volumes.reduce((sum, { bytes }) => sum + bytes, takenByLoading(manifest)),
      await this.deps.room(),
    );
    const epoch = Math.max(facts.epoch, ...facts.keptEpochs) + 1;
    await work.prove();
    await dataSource.manager.update(TenantEntity, { id: facts.tenantId }, { nextEpoch: epoch });
    // What an agent that died left: its server holds the volumes.
    await ScratchServer.clear({ engine, streams, facts, signal });
    await this.dropVolumes(work, epoch);
    try {
      for (const database of manifest.databases) {
        const { service } = database;
        const [data] = facts.template.services[service]?.volumes ?? [];
        if (!data) {
          throw new Error(`${service} has no volume`);
        }
        const volume = stackNames(facts.platformId, facts.slug).volume(data.volume, epoch);
        const plan = { engine, streams, facts, service, data: { volume, role: data.volume }, signal };
        await onScratch(plan, async (server) => {
          const part = partOf(backup, database.part);
          await loadDatabase({ streams, repository, database, part, into: server.place, signal });
          await server.stop();
        });
      }
      for (const volume of volumes) {
        const part = partOf(backup, volume.part);
        await loadVolume({ engine, streams, repository, facts, volume, part, epoch, signal });
      }
    } catch (error) {
      await this.dropVolumes(work, epoch);
      await dataSource.manager.update(TenantEntity, { id: facts.tenantId }, { nextEpoch: null });
      throw error;
    }
    const { rows, tables } = totals(manifest);
    return `data of ${manifest.takenAt}: ${rows} rows in ${tables} tables`;
  }

  async swap({ facts, prove }: BackupWork): Promise<string> {
    await prove();
    const { nextEpoch: epoch, tenantId } = facts;
    if (epoch === null) {
      return 'done before';
    }
    const [, changed] = await this.deps.dataSource.query<[unknown, number]>(
      `update tenants set kept_epochs = kept_epochs || epoch, epoch = next_epoch, next_epoch = null where id = $1 and next_epoch = $2`,
      [tenantId, epoch],
    );
    if (changed !== 1) {
      throw new DomainError('LOST_RACE');
    }
    return `the data before is kept until the next good backup`;
  }

  async erase({ facts }: BackupWork): Promise<void> {
    await this.deps.repositories.erase(facts.tenantId);
  }

  /** Notes on the backup's row why a phase did not come to its end, unless another will go on with it. */
  private async telling(
    { signal }: BackupWork,
    backup: Pick<BackupEntity, 'id'>,
    phase: () => Promise<string>,
  ): Promise<string> {
    try {
      return await phase();
    } catch (error) {
      await failed(this.deps.dataSource, backup.id, error, signal);
      throw error;
    }
  }

  private async begun({ operation, facts }: BackupWork) {
    const backup = await this.deps.dataSource.manager.findOneByOrFail(BackupEntity, { operationId: operation.id });
    const repository = await this.deps.repositories.find(facts.tenantId);
    if (!repository) {
      throw new DomainError('REPOSITORY_MISSING');
    }
    return { backup, manifest: manifestSchema.parse(backup.manifest), repository };
  }

  private async chosen({ operation, facts }: BackupWork): Promise<BackupEntity> {
    const id = operation.input?.['backup'];
    const backup =
      typeof id === 'string'
        ? await this.deps.dataSource.manager.findOneBy(BackupEntity, { id, tenantId: facts.tenantId })
        : null;
    if (backup?.state !== 'verified') {
      throw new DomainError('NOT_FOUND', { message: 'There is no verified backup of that id any more.' });
    }
    return backup;
  }

  /** What the portal's rows say of the stack, secrets sealed as they are there. */
  private async known({ facts }: BackupWork): Promise<object> {
    const db = this.deps.dataSource.manager;
    const tenant = await db.findOneByOrFail(TenantEntity, { id: facts.tenantId });
    const release = await db.findOneByOrFail(ReleaseEntity, { id: tenant.releaseId });
    const secrets = await db.findBy(TenantSecretEntity, { tenantId: facts.tenantId });
    return {
      tenant,
      release,
      secrets: secrets.map(({ name, sealed }) => ({ name, sealed: sealed.toString('base64') })),
    };
  }

  /** Removes the backups that retention keeps no longer. Only once a newer one is verified. */
  private async prune(repository: Repository, work: BackupWork): Promise<void> {
    const { facts, signal } = work;
    const { dataSource, now, retention, zone } = this.deps;
    const rows = await dataSource.manager.findBy(BackupEntity, { tenantId: facts.tenantId });
    const known = rows.map(({ id, takenAt, begunAt, state, held }) => ({
      id,
      takenAt: takenAt ?? begunAt,
      state: state === 'taking' ? ('failed' as const) : state,
      held,
    }));
    const gone = new Set(expired(known, retention, zone, now()));
    if (gone.size === 0) {
      return;
    }
    // The rows first: what no row names is found again, and what a row names can be restored.
    await work.prove();
    await dataSource.manager.delete(BackupEntity, { id: In([...gone]) });
    const named = new Set(rows.filter(({ id }) => !gone.has(id)).map(({ id }) => tagOf(id)));
    const nameless = (await repository.snapshots([], signal)).filter(({ tags }) => !tags.some((tag) => named.has(tag)));
    await free(work, repository);
    await repository.forget(
      nameless.map(({ id }) => id),
      signal,
    );
  }

  /**
   * Every byte of a tenth of the repository, another each day: what a proof did not read is older than it. The
   * operation's lease is the right to the repository, so whoever holds a lock in it is dead.
   */
  private async checkPart(work: BackupWork, repository: Repository): Promise<void> {
    const day = Math.floor(this.deps.now().getTime() / 86_400_000);
    await free(work, repository);
    await repository.check({ part: (day % CHECKED_PARTS) + 1, of: CHECKED_PARTS }, work.signal);
  }

  /** What restores took the place of is covered now, and what one left half-way is nothing: none is at work beside this. */
  private async dropSpares(work: BackupWork): Promise<void> {
    const { keptEpochs, nextEpoch, tenantId } = work.facts;
    for (const epoch of [...keptEpochs, ...(nextEpoch === null ? [] : [nextEpoch])]) {
      await this.dropVolumes(work, epoch);
    }
    await work.prove();
    await this.deps.dataSource.query(
      `update tenants set kept_epochs = '{}', next_epoch = null where id = $1 and kept_epochs = $2`,
      [tenantId, keptEpochs],
    );
  }

  /** Never those of the epoch the stack lives in. */
  private async dropVolumes({ engine, facts }: BackupWork, epoch: number): Promise<void> {
    if (epoch === facts.epoch) {
      throw new Error(`the volumes of ${facts.slug} are in use`);
    }
    const names = stackNames(facts.platformId, facts.slug);
    for (const volume of Object.keys(facts.template.volumes)) {
      const owner = { platform: facts.platformId, tenant: facts.tenantId };
      await engine.removeVolume(names.volume(volume, epoch), owner, { deadlineMs: CALL_MS });
    }
  }
}

/** Takes away what stands in the way: while the lease is ours, whoever holds a lock in the repository is dead. */
async function free({ prove, signal }: BackupWork, repository: Repository): Promise<void> {
  await prove();
  await repository.unlock(signal);
}

/** A server for the work alone, gone afterwards; why the work failed is told before why it could not be removed. */
async function onScratch(plan: ScratchPlan, work: (server: ScratchServer) => Promise<void>): Promise<void> {
  const server = await ScratchServer.start(plan);
  try {
    await work(server);
  } catch (error) {
    await server.erase().catch(() => undefined); // The planner clears away what is left.
    throw error;
  }
  await server.erase();
}

function partOf(backup: BackupEntity, name: string): BackupPart {
  const part = backup.parts.find((one) => one.name === name);
  if (!part) {
    throw new DomainError('BACKUP_UNVERIFIED', { message: `The backup has no ${name}.` });
  }
  return part;
}
