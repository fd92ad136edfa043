import { Readable } from 'node:stream';
import { In } from 'typeorm';
import { z } from 'zod';
import { DomainError, isDomainError } from '#libs/contracts';
import { BackupEntity, TenantEntity, type BackupPart, type Database } from '#libs/db';
import { epochToFill, type BackupWork, type StackBackups, type StackFacts } from '#libs/orchestrator';
import type { Repository } from '#libs/restic';
import { databaseMajorOf, expiredBackups, requireLoadable, stackNames } from '#libs/tenants';
import { carryStack, takenByCarrying } from './carry.js';
import { begin, failed, failedSince, moved, notNeeded } from './backup-rows.js';
import { MANIFEST_FILE } from './domain/archive.js';
import { manifestOfLogs, storeLogs } from './logs.js';
import { manifestSchema, totals, type Manifest } from './domain/manifest.js';
import { dumpDatabase } from './dump.js';
import { figureOf, knownStack } from './known-stack.js';
import { loadAndRead, loadDatabase, withDump } from './load.js';
import { setPassword } from './password.js';
import type { FenceGuard } from './portal/fence-guard.js';
import type { Repositories } from './repositories.js';
import { makeFree, withLock } from './repository-lock.js';
import { requireRoom, takenByLoading, type Room } from './room.js';
import { provePart, storeStream } from './store.js';
import { databaseOf, onScratch, ScratchServer } from './scratch.js';
import { dropSpares, dropVolumes, giveUpEpoch, giveUpFilled, swapVolumes, volumesKept } from './spares.js';
import { sameAs } from './unchanged.js';
import { loadVolume, placeOfVolume } from './volumes.js';

/** Every check reads one of so many parts of the repository's data, and each the next. */
const CHECKED_PARTS = 10;
const LONGEST_UNCHANGED_MS = 6.5 * 86_400_000;
const DONE_BEFORE = 'done before';

export interface StackBackupDeps {
  dataSource: Database;
  repositories: Repositories;
  /** Of the platform's days. */
  zone: string;
  /** Where stacks of this engine are loaded. */
  room: () => Promise<Room>;
  /** Throws FENCED where another database has the right to the repositories, REPOSITORY_* where that cannot be told. */
  fence: Pick<FenceGuard, 'prove'>;
  now: () => Date;
}

const inputSchema = z
  .object({ backup: z.uuid(), source: z.uuid().optional() })
  .transform(({ backup: id, source }) => ({ id, source }));

const tagOf = (backupId: string): string => `backup=${backupId}`;
const inMb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Backups of stacks in their own restic repositories. Each phase begins anew where it was broken off. */
export class ResticBackups implements StackBackups {
  constructor(private readonly deps: StackBackupDeps) {}

  async dump(work: BackupWork): Promise<string> {
    const { dataSource, now } = this.deps;
    const { facts, streams, operation, signal } = work;
    const { backup, fresh } = await begin(dataSource, operation, facts, now());
    if (backup.state !== 'taking' && backup.state !== 'failed') {
      return DONE_BEFORE;
    }
    return this.telling(work, backup, async () => {
      const unchanged = await this.unchanged(work, backup);
      if (unchanged !== null) {
        return unchanged;
      }
      const tag = tagOf(backup.id);
      const repository = await this.deps.repositories.ensure(facts.tenantId, { now: now(), signal });
      if (!fresh) {
        await this.unlistBroken(work, repository, [tag]);
      }
      const parts: BackupPart[] = [];
      const databases: Manifest['databases'] = [];
      let takenAt = now();
      for (const service of facts.template.aviary.backup.postgres) {
        const part = { name: `${service}.dump`, tags: [tag], host: facts.slug };
        const place = databaseOf(facts, service);
        const dump = () => dumpDatabase({ streams, repository, place, service, part, signal });
        const dumped = await this.writing(work, repository, dump).catch(async (error: unknown) => {
          if (!isDomainError(error, 'REPOSITORY_MISSING')) {
            throw error;
          }
          await repository.ensure(signal);
          return this.writing(work, repository, dump);
        });
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
      const own = { tags: [tagOf(backup.id)], host: facts.slug };
      const dumps = backup.parts.filter(({ name }) => manifest.databases.some(({ part }) => part === name));
      if (isTakenOver(work)) {
        // Its row names what is stored once all of it is: of who died before, only the dumps.
        await this.unlistBroken(work, repository, own.tags, dumps);
      }
      const parts = [...dumps];
      const volumes: Manifest['volumes'] = [];
      for (const volume of facts.template.aviary.backup.volumes) {
        const { spec, target } = placeOfVolume(facts, volume);
        const owner = { platform: facts.platformId, tenant: facts.tenantId };
        const part = await this.writing(work, repository, async () => {
          const tar = await streams.pack(spec.name, owner, target, signal);
          return storeStream(repository, { ...own, name: `${volume}.tar` }, tar, signal);
        });
        parts.push(part);
        volumes.push({ volume, part: part.name, bytes: part.bytes, sha256: part.sha256 });
      }
      const storeLog = (name: string, text: Buffer): Promise<BackupPart> =>
        this.writing(work, repository, () => storeStream(repository, { ...own, name }, Readable.from([text]), signal));
      const logs = operation.input?.['logs'] === true ? await storeLogs(work, storeLog) : [];
      parts.push(...logs.map(({ part }) => part));
      const stack = await knownStack(dataSource, facts.tenantId);
      const whole = { ...manifest, stack: figureOf(stack), volumes, ...manifestOfLogs(logs) };
      const written = `${JSON.stringify({ manifest: whole, stack }, null, 1)}\n`;
      const list = { ...own, name: MANIFEST_FILE };
      parts.push(
        await this.writing(work, repository, () => storeStream(repository, list, Readable.from(written), signal)),
      );
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
    const covers = work.operation.kind === 'backup';
    if (backup.state === 'verified') {
      if (covers) {
        // Who verified it may have been cut off before it had dropped them.
        await dropSpares(dataSource, work);
      }
      return DONE_BEFORE;
    }
    return this.telling(work, backup, async () => {
      requireRoom(takenByLoading(manifest), await this.deps.room());
      const databases: Manifest['databases'] = [];
      for (const database of manifest.databases) {
        const { service } = database;
        const part = partOf(backup, database.part);
        await withDump({ repository, part, signal }, (opened) =>
          onScratch({ engine, streams, facts, service, data: null, signal }, async ({ place: into }) => {
            databases.push(await loadAndRead({ streams, repository, database, part, opened, into, signal }));
          }),
        );
      }
      const loaded = new Set(databases.map(({ part }) => part));
      for (const part of backup.parts.filter(({ name }) => !loaded.has(name))) {
        await provePart(repository, part, signal);
      }
      await this.checkPart(work, repository);
      await moved(dataSource, backup, ['stored', 'verified'], {
        state: 'verified',
        verifiedAt: now(),
        manifest: { ...manifest, databases },
        error: null,
      });
      if (covers) {
        await dropSpares(dataSource, work);
      }
      const { rows, tables } = totals(manifest);
      return `restored and compared: ${rows} rows in ${tables} tables`;
    });
  }

  async prune(work: BackupWork): Promise<string> {
    const { dataSource, now, zone } = this.deps;
    const { facts, signal } = work;
    const repository = await this.deps.repositories.find(facts.tenantId);
    if (!repository) {
      return 'it has no backups';
    }
    const tenantIds = [facts.tenantId];
    const gone = await expiredBackups(dataSource.manager, { tenantIds, zone, now: now() });
    // The rows first: what no row names is found again, and what a row names can be restored.
    await work.prove();
    await this.deps.fence.prove({ anew: true });
    await dataSource.manager.delete(BackupEntity, { id: In(gone.map(({ id }) => id)) });
    const rows = await dataSource.manager.findBy(BackupEntity, { tenantId: facts.tenantId });
    const named = new Set(rows.map(({ id }) => tagOf(id)));
    const nameless = (await repository.snapshots([], signal)).filter(({ tags }) => !tags.some((tag) => named.has(tag)));
    await makeFree({ ...work, fence: this.deps.fence }, repository);
    await repository.forget(
      nameless.map(({ id }) => id),
      signal,
    );
    if (nameless.length === 0 && isTakenOver(work)) {
      // Who died may have taken them off the list, and not have removed what only they needed.
      await repository.prune(signal);
    }
    return `${gone.length} removed, ${rows.length} kept`;
  }

  async load(work: BackupWork): Promise<string> {
    const { dataSource } = this.deps;
    const { facts, engine, streams, signal } = work;
    const backup = await this.chosen(work);
    const manifest = manifestSchema.parse(backup.manifest);
    requireLoadable(
      manifest.databases.map(({ server }) => server),
      databaseMajorOf(facts.template),
    );
    // A copy may be made on another host than its original, which may have another store.
    const look = work.operation.kind === 'clone';
    const repository = await this.deps.repositories.toLoad(backup.tenantId, { look, signal });
    const { volumes } = manifest;
    requireRoom(
      volumes.reduce((sum, { bytes }) => sum + bytes, takenByLoading(manifest)),
      await this.deps.room(),
    );
    const epoch = epochToFill(facts);
    await work.prove();
    await dataSource.manager.update(TenantEntity, { id: facts.tenantId }, { nextEpoch: epoch });
    // What an agent that died left: its server holds the volumes.
    await ScratchServer.clear({ engine, streams, facts, signal });
    await dropVolumes(work, epoch);
    try {
      for (const database of manifest.databases) {
        const { service } = database;
        const [data] = facts.template.services[service]?.volumes ?? [];
        if (!data) {
          throw new Error(`${service} has no volume`);
        }
        const volume = stackNames(facts.platformId, facts.slug).volume(data.volume, epoch);
        const plan = { engine, streams, facts, service, data: { volume, role: data.volume }, signal };
        const part = partOf(backup, database.part);
        await withDump({ repository, part, signal }, (opened) =>
          onScratch(plan, async (server) => {
            await loadDatabase({ streams, repository, database, part, opened, into: server.place, signal });
            await server.stop();
          }),
        );
      }
      for (const volume of volumes) {
        const part = partOf(backup, volume.part);
        await loadVolume({ engine, streams, repository, facts, volume, part, epoch, signal });
      }
    } catch (error) {
      await giveUpEpoch(dataSource, work, epoch);
      throw error;
    }
    const { rows, tables } = totals(manifest);
    return `data of ${manifest.takenAt}: ${rows} rows in ${tables} tables`;
  }

  giveUp(work: BackupWork): Promise<void> {
    return giveUpFilled(this.deps.dataSource, work);
  }

  kept(work: BackupWork): Promise<string> {
    return volumesKept(work);
  }

  async swap(work: BackupWork): Promise<string> {
    return swapVolumes(this.deps.dataSource, work);
  }

  async roomToCarry(work: BackupWork): Promise<void> {
    requireRoom(await takenByCarrying(work), await this.deps.room());
  }

  carry(work: BackupWork, target: StackFacts): Promise<string> {
    return carryStack(this.deps.dataSource, work, target);
  }

  async setPassword(work: BackupWork, password: string, deadlineMs: number): Promise<void> {
    await setPassword(work, password, deadlineMs);
  }

  async erase(work: BackupWork): Promise<string | null> {
    const { fence, repositories } = this.deps;
    // A stack that never had one is destroyed also while the portal's own repository gives no answer.
    if (!(await repositories.has(work.facts.tenantId))) {
      return null;
    }
    await fence.prove({ anew: true });
    return repositories.erase(work.facts.tenantId, { ...work, fence });
  }

  /**
   * Where a backup by the clock would hold what the newest verified one does, that is all that comes of it. Not for
   * more than a week: what changes by itself is not lost for longer, and no repository is unread for longer. Not where
   * one failed since, or the repository lacks a part of it: what nobody knows to be good is not held to be enough.
   * What restores took the place of stays, since no backup was made that covers it.
   */
  private async unchanged(work: BackupWork, backup: BackupEntity): Promise<string | null> {
    const { dataSource, now } = this.deps;
    const { facts, operation } = work;
    const newest = await dataSource.manager.findOne(BackupEntity, {
      where: { tenantId: facts.tenantId, state: 'verified' },
      order: { takenAt: 'DESC' },
    });
    const manifest = manifestSchema.safeParse(newest?.manifest);
    if (
      operation.input?.['reason'] !== 'schedule' ||
      !newest?.takenAt ||
      !manifest.success ||
      now().getTime() - newest.takenAt.getTime() > LONGEST_UNCHANGED_MS ||
      manifest.data.stack !== figureOf(await knownStack(dataSource, facts.tenantId))
    ) {
      return null;
    }
    if ((await failedSince(dataSource, newest, backup)) || !(await this.hasAll(newest, work.signal))) {
      return null;
    }
    const sameUntil = await sameAs(work, manifest.data);
    if (sameUntil === null) {
      return null;
    }
    await work.prove();
    await notNeeded(dataSource, backup, newest, sameUntil);
    const why = `nothing changed since the backup of ${newest.takenAt.toISOString()}, which holds all there is`;
    await work.skip(['store', 'prove'], why);
    return why;
  }

  /** Whether the stack's repository opens, and has every part of the backup. */
  private async hasAll({ tenantId, parts }: BackupEntity, signal: AbortSignal): Promise<boolean> {
    const there = new Set((await this.deps.repositories.snapshots(tenantId, signal)).map(({ id }) => id));
    return parts.length > 0 && parts.every(({ snapshotId }) => there.has(snapshotId));
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

  /** The backup the operation is of: the stack's own, or that of the stack a copy is made of. */
  private async chosen({ operation, facts }: BackupWork): Promise<BackupEntity> {
    const { id, source } = inputSchema.parse(operation.input);
    const tenantId = operation.kind === 'clone' ? source : facts.tenantId;
    const backup =
      tenantId === undefined ? null : await this.deps.dataSource.manager.findOneBy(BackupEntity, { id, tenantId });
    if (backup?.state !== 'verified') {
      throw new DomainError('NOT_FOUND', { message: 'There is no verified backup of that id any more.' });
    }
    return backup;
  }

  /**
   * Every byte of a tenth of the repository, another each day: what a proof did not read is older than it. The
   * operation's lease is the right to the repository, so whoever holds a lock in it is dead.
   */
  private async checkPart(work: BackupWork, repository: Repository): Promise<void> {
    const day = Math.floor(this.deps.now().getTime() / 86_400_000);
    await this.writing(work, repository, () =>
      repository.check({ part: (day % CHECKED_PARTS) + 1, of: CHECKED_PARTS }, work.signal),
    );
  }

  private writing<T>(work: BackupWork, repository: Repository, write: () => Promise<T>): Promise<T> {
    return withLock({ ...work, fence: this.deps.fence }, repository, write);
  }

  /**
   * Takes what an earlier try of the backup stored off the list. Its data stays for the next prune: a copy may be reading
   * the repository, and reads it without a lock.
   */
  private async unlistBroken(
    work: BackupWork,
    repository: Repository,
    tags: readonly string[],
    but: readonly BackupPart[] = [],
  ): Promise<void> {
    const { signal } = work;
    let broken;
    try {
      broken = await repository.snapshots(tags, signal);
    } catch (error) {
      if (!isDomainError(error, 'REPOSITORY_MISSING')) {
        throw error;
      }
      return; // Whoever stores makes it.
    }
    const named = new Set(but.map(({ snapshotId }) => snapshotId));
    const ids = broken.map(({ id }) => id).filter((id) => !named.has(id));
    if (ids.length > 0) {
      await this.writing(work, repository, () => repository.unlist(ids, signal));
    }
  }
}

/** Whether somebody worked on it before, who may have been cut off anywhere. */
const isTakenOver = ({ operation }: BackupWork): boolean => operation.fencing > 1;

function partOf(backup: BackupEntity, name: string): BackupPart {
  const part = backup.parts.find((one) => one.name === name);
  if (!part) {
    throw new DomainError('BACKUP_UNVERIFIED', { message: `The backup has no ${name}.` });
  }
  return part;
}
