import { Readable } from 'node:stream';
import { In, LessThan, Not } from 'typeorm';
import type { QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';
import { DomainError, ERROR_TEXT, isDomainError, OPEN_PORTAL_BACKUP_STATES } from '#libs/contracts';
import { DataKeyEntity, isDatabaseAway, PortalBackupEntity, TenantEntity, type Database } from '#libs/db';
import { masterKeyOf, PLATFORM, type MasterKeys } from '#libs/keys';
import type { Repository } from '#libs/restic';
import type { Logger } from '#libs/telemetry';
import { expired, ownFence, PORTAL_RETENTION } from '#libs/tenants';
import { portalManifestSchema, type PortalManifest, type PortalProof } from '../domain/manifest.js';
import { dumpDatabase } from '../dump.js';
import { loadDatabase } from '../load.js';
import { requireRoom, takenByLoading, type Room } from '../room.js';
import { provePart, storeStream } from '../store.js';
import { besideOf, dropBeside, inSession, makeBeside, type PortalServer } from './beside.js';
import { fencesOf, ordinalTag, straysOf } from './fence.js';
import type { PortalRepository } from './portal-repository.js';
import { sealedUnder, type SealedUnder } from './sealed-under.js';
import { DUMP, knownBackup, MANIFEST, PROOF, storedBackups, tagOf } from './portal-snapshots.js';

/** Of the database a backup is proven in, beside the portal's own; none of it outlives the proof. */
const PROVING = 'proving';
/** Gigabytes at the pace of a disk or a network, and the way back. */
const DEADLINE_MS = 8 * 3_600_000;
/** A backup that ends the agent each time is not begun for ever. */
const MOST_TRIES = 5;
const DROP_MS = 60_000;
/** Every proof reads one of so many parts of the repository's data, and each the next. */
const CHECKED_PARTS = 10;
const FAILED_SHOWN_MS = 30 * 86_400_000;

export interface PortalBackupDeps {
  database: Database;
  server: PortalServer;
  repository: PortalRepository;
  masters: MasterKeys;
  platformId: string;
  /** The portal's image. */
  image: string;
  /** Of `.env`, without secrets. */
  settings: Readonly<Record<string, string>>;
  /** Of those secrets, the names a person gave a value. */
  secrets: readonly string[];
  /** Of the platform's days. */
  zone: string;
  room: () => Promise<Room>;
  /** Throws where this process may not act any more; `anew` asks first, before anything is removed. */
  prove: (how?: { anew: boolean }) => Promise<void>;
  logger: Pick<Logger, 'info' | 'error'>;
  now: () => Date;
}

/** Backups of the portal's own database. The row says how far one came; whoever finds it goes on from there. */
export class PortalBackups {
  constructor(private readonly deps: PortalBackupDeps) {}

  /** The one that is asked for or under way; null where none is. */
  open(): Promise<PortalBackupEntity | null> {
    const { manager } = this.deps.database;
    return manager.findOneBy(PortalBackupEntity, { state: In([...OPEN_PORTAL_BACKUP_STATES]) });
  }

  /** Works on the open one to its end; false where there is none. What it failed of stands in its row. */
  async turn(stop: AbortSignal): Promise<boolean> {
    const open = await this.open();
    if (open === null) {
      return false;
    }
    const signal = AbortSignal.any([stop, AbortSignal.timeout(DEADLINE_MS)]);
    try {
      await this.deps.repository.alone(() => this.toItsEnd(open.id, signal));
    } catch (error) {
      if (stop.aborted) {
        return true; // The next life of this process goes on.
      }
      await this.failed(open.id, signal.aborted ? new DomainError('DEADLINE_EXCEEDED', { cause: error }) : error);
    }
    return true;
  }

  private async toItsEnd(id: string, signal: AbortSignal): Promise<void> {
    const { manager } = this.deps.database;
    let row = await manager.findOneByOrFail(PortalBackupEntity, { id });
    if (row.tries >= MOST_TRIES) {
      throw new DomainError('GAVE_UP', {
        message: `The agent ended each of the ${row.tries} times it worked on this backup: its log says how.`,
      });
    }
    await this.move(row, { begunAt: row.begunAt ?? this.deps.now(), tries: row.tries + 1 });
    const repository = await this.opened(signal);
    if (row.state !== 'stored') {
      await this.take(row, repository, signal);
      row = await manager.findOneByOrFail(PortalBackupEntity, { id });
    }
    await this.proveIt(row, repository, signal);
    await this.prune(repository, signal);
    this.deps.logger.info({ backup: id }, 'the portal is backed up, restored and checked');
  }

  /** With the password of the master key the platform is sealed with, also where a rotation found it away. */
  private async opened(signal: AbortSignal): Promise<Repository> {
    const { database, masters, repository, prove } = this.deps;
    const platform = await database.manager.findOneBy(DataKeyEntity, { owner: PLATFORM });
    const present = masterKeyOf(masters, platform?.masterKey ?? '') ?? masters.current;
    const opened = await repository.ensure(present, signal);
    await prove();
    await opened.repository.unlock(signal);
    if (opened.master.id === present.id) {
      return opened.repository;
    }
    if (!(await repository.opensWith(present, signal))) {
      await opened.repository.addPassword(present.repositoryPassword(), signal);
    }
    const { repository: moved } = await repository.with(present);
    await moved.removeOtherPasswords(signal);
    return moved;
  }

  private async take(row: PortalBackupEntity, repository: Repository, signal: AbortSignal): Promise<void> {
    const { server, platformId, image, database, prove } = this.deps;
    await this.move(row, { state: 'taking' }, ['asked', 'taking']);
    const broken = await repository.snapshots([tagOf(row.id)], signal);
    await prove({ anew: true });
    await repository.forget(
      broken.map(({ id }) => id),
      signal,
    );
    const own = await this.partOf(row);
    const dumped = await dumpDatabase({
      ...server,
      repository,
      service: 'portal',
      part: { ...own, name: DUMP },
      signal,
    });
    const manifest: PortalManifest = {
      version: 1,
      backup: row.id,
      platform: platformId,
      image,
      takenAt: dumped.takenAt.toISOString(),
      stacks: await database.manager.count(TenantEntity),
      settings: { ...this.deps.settings },
      secrets: [...this.deps.secrets],
      database: dumped.database,
    };
    const written = `${JSON.stringify(manifest, null, 1)}\n`;
    const list = await storeStream(repository, { ...own, name: MANIFEST }, Readable.from(written), signal);
    await this.move(
      row,
      {
        state: 'stored',
        takenAt: dumped.takenAt,
        storedAt: this.deps.now(),
        parts: [dumped.part, list],
        manifest,
        error: null,
      },
      ['taking'],
    );
  }

  private async proveIt(row: PortalBackupEntity, repository: Repository, signal: AbortSignal): Promise<void> {
    const { server, room, prove, now, masters } = this.deps;
    const manifest = portalManifestSchema.parse(row.manifest);
    const [part, list] = [DUMP, MANIFEST].map((wanted) => row.parts.find(({ name }) => name === wanted));
    if (part === undefined || list === undefined) {
      throw new DomainError('BACKUP_FAILED', { message: 'The backup lacks its dump or its manifest.' });
    }
    requireRoom(takenByLoading({ databases: [manifest.database] }), await room());
    await provePart(repository, list, signal);
    await prove();
    const proving = besideOf(server, PROVING);
    let under: SealedUnder[];
    try {
      const into = await makeBeside(server, proving, signal);
      const { streams } = server;
      await loadDatabase({ streams, repository, database: manifest.database, part, into, signal });
      under = await inSession(server, { database: proving, signal }, (session) => sealedUnder(session, masters));
    } finally {
      // What cannot be dropped now is dropped before the next one; why the proof failed must not be lost over that.
      await dropBeside(server, proving, AbortSignal.timeout(DROP_MS)).catch((error: unknown) =>
        this.deps.logger.error({ err: error, database: proving }, 'a database of a proof could not be dropped'),
      );
    }
    const platforms = under.find((one) => one.platforms);
    if (platforms !== undefined && platforms.opens !== 'yes') {
      throw new DomainError('BACKUP_UNVERIFIED', {
        message: `The platform's data key in the backup does not open with the master key ${platforms.masterKey}: nothing that is sealed in it could be used.`,
      });
    }
    const sealed = {
      masterKey: platforms?.masterKey ?? null,
      masterKeys: under.map(({ masterKey }) => masterKey),
    };
    const day = Math.floor(now().getTime() / 86_400_000);
    await repository.check({ part: (day % CHECKED_PARTS) + 1, of: CHECKED_PARTS }, signal);
    const verifiedAt = now();
    const proof: PortalProof = { version: 1, backup: row.id, verifiedAt: verifiedAt.toISOString(), ...sealed };
    // Where the host is lost, the repository alone says which backup counts.
    const own = await this.partOf(row);
    await storeStream(
      repository,
      { ...own, name: PROOF },
      Readable.from(`${JSON.stringify(proof, null, 1)}\n`),
      signal,
    );
    await this.move(row, { state: 'verified', verifiedAt, manifest: { ...manifest, ...sealed }, error: null }, [
      'stored',
    ]);
  }

  /** Whose it is: also of which of the databases that a recovery made out of one. */
  private async partOf({ id }: PortalBackupEntity): Promise<{ tags: string[]; host: string }> {
    const { ordinal } = await ownFence(this.deps.database);
    return { tags: [tagOf(id), ordinalTag(ordinal)], host: this.deps.platformId };
  }

  /** The repository says what there is: rows that came back with an older database know nothing of what is newer. */
  private async prune(repository: Repository, signal: AbortSignal): Promise<void> {
    const { database, zone, now, prove } = this.deps;
    const { manager } = database;
    const snapshots = await repository.snapshots([], signal);
    const all = storedBackups(snapshots);
    const fences = fencesOf(snapshots);
    const strays = straysOf(all, fences);
    // What a replaced host stored since neither counts as a backup nor is removed: somebody may want to look into it.
    const stored = all.filter((one) => !strays.has(one));
    const known = stored.map((one) => knownBackup(one, fences));
    const gone = new Set(expired(known, PORTAL_RETENTION, zone, now()));
    await prove({ anew: true });
    const there = stored.map(({ id }) => id).filter((id) => !gone.has(id));
    // Those too that were in a repository which somebody moved away: they cannot be come back to.
    await manager.delete(PortalBackupEntity, { state: 'verified', id: Not(In(there)) });
    await manager.delete(PortalBackupEntity, { id: In([...gone]) });
    await repository.forget(
      stored.filter(({ id }) => gone.has(id)).flatMap(({ snapshots }) => snapshots.map(({ id }) => id)),
      signal,
    );
    const before = new Date(now().getTime() - FAILED_SHOWN_MS);
    await manager.delete(PortalBackupEntity, { state: 'failed', askedAt: LessThan(before) });
  }

  private async move(
    { id }: PortalBackupEntity,
    change: Partial<PortalBackupEntity>,
    from: readonly PortalBackupEntity['state'][] = OPEN_PORTAL_BACKUP_STATES,
  ): Promise<void> {
    await this.deps.prove();
    const { affected } = await this.deps.database.manager.update(
      PortalBackupEntity,
      { id, state: In([...from]) },
      change as QueryDeepPartialEntity<PortalBackupEntity>,
    );
    if (affected !== 1) {
      throw new DomainError('LOST_RACE', { message: 'Another process works on this backup of the portal.' });
    }
  }

  private async failed(id: string, error: unknown): Promise<void> {
    const { database, logger } = this.deps;
    // Another's by now, or nobody can write how it went: whoever finds the row goes on.
    if (isDomainError(error, 'FENCED') || isDomainError(error, 'LOST_RACE') || isDatabaseAway(error)) {
      throw error;
    }
    logger.error({ err: error, backup: id }, 'the portal could not be backed up');
    const told = isDomainError(error)
      ? { code: error.code, message: error.message }
      : { code: 'INTERNAL' as const, message: ERROR_TEXT.INTERNAL };
    await database.manager.update(
      PortalBackupEntity,
      { id, state: In([...OPEN_PORTAL_BACKUP_STATES]) },
      { state: 'failed', error: told },
    );
  }
}
