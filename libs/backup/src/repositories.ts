import { rm } from 'node:fs/promises';
import { DomainError, isDomainError, type ErrorCode } from '#libs/contracts';
import { randomToken } from '#libs/crypto';
import { RepositoryEntity, tx, type Database } from '#libs/db';
import { repositoryContext, type DataKeys } from '#libs/keys';
import { removeCache, Repository, type RepositoryPlace, type Snapshot } from '#libs/restic';
import type { BackupPlaces } from './places.js';
import { withLock, type Right } from './repository-lock.js';

/** Of a repository in a store; its packs go one by one, some thousand a minute. The phase it is part of allows for it. */
const EMPTY_MS = 240_000;
/** Ways in which a repository cannot be emptied, now or ever. */
const NOT_EMPTIED: readonly ErrorCode[] = [
  'DEADLINE_EXCEEDED',
  'KEY_LOST',
  'REPOSITORY_FAILED',
  'REPOSITORY_KEY',
  'REPOSITORY_LOCKED',
  'REPOSITORY_MISSING',
];

export interface RepositorySettings {
  places: BackupPlaces;
  keys: DataKeys;
  /** How long emptying one may take before it is left as it is; 4 minutes where nothing is said. */
  emptyMs?: number;
}

/** The repositories of stacks: each its own, each with a password of its own, known sealed to the portal's database. */
export class Repositories {
  constructor(
    private readonly database: Database,
    private readonly settings: RepositorySettings,
  ) {}

  /**
   * The stack's repository, made where none was made yet. Whether it is still where it was, whoever works with it finds
   * out: each look costs as much as a small backup.
   */
  async ensure(tenantId: string, { now, signal }: { now: Date; signal: AbortSignal }): Promise<Repository> {
    // The password first: a repository nobody can open would stand in the way of every later backup.
    const isNew = await tx(this.database, async (db) => {
      const key = await this.settings.keys.ensure(db, tenantId, now);
      const { raw } = await db
        .createQueryBuilder()
        .insert()
        .into(RepositoryEntity)
        .values({ tenantId, sealed: key.seal(repositoryContext(tenantId), randomToken()), createdAt: now })
        .orIgnore()
        .returning('tenant_id')
        .execute();
      return (raw as unknown[]).length > 0;
    });
    const repository = await this.find(tenantId);
    if (!repository) {
      throw new Error(`the stack ${tenantId} is gone`);
    }
    if (isNew) {
      await repository.ensure(signal);
    }
    return repository;
  }

  /** The one to load from; `look` whether it is in this host's store before anything is made. Throws REPOSITORY_MISSING. */
  async toLoad(tenantId: string, { look, signal }: { look: boolean; signal: AbortSignal }): Promise<Repository> {
    const repository = await this.find(tenantId);
    if (!repository) {
      throw new DomainError('REPOSITORY_MISSING');
    }
    if (!look) {
      return repository;
    }
    try {
      await repository.opens(signal);
      return repository;
    } catch (error) {
      throw isDomainError(error, 'REPOSITORY_MISSING')
        ? new DomainError('REPOSITORY_MISSING', {
            message:
              'This host’s agent finds no repository of that stack in its store. AVIARY_BACKUP_URL names one store for all hosts.',
            cause: error,
          })
        : error;
    }
  }

  /** Null where the stack has none. */
  async find(tenantId: string): Promise<Repository | null> {
    const place = await this.place(tenantId);
    return place && new Repository(this.settings.places.restic, place);
  }

  /** What opens the stack's repository, for who is to open it without us; null where it has none. */
  async password(tenantId: string): Promise<string | null> {
    return (await this.place(tenantId))?.password ?? null;
  }

  async has(tenantId: string): Promise<boolean> {
    return this.database.manager.existsBy(RepositoryEntity, { tenantId });
  }

  /** All there are of the stack; none where it has no repository. */
  async snapshots(tenantId: string, signal: AbortSignal): Promise<Snapshot[]> {
    try {
      return (await (await this.find(tenantId))?.snapshots([], signal)) ?? [];
    } catch (error) {
      if (isDomainError(error, 'REPOSITORY_MISSING')) {
        return [];
      }
      throw error;
    }
  }

  /**
   * Takes the stack's repository away, for ever: a folder as a whole, of one in a store all that was stored, and what
   * restic looked up of either on this host. It can be begun again wherever it was broken off, since the password goes
   * last. One that does not open, or is not emptied in time, holds up nothing: gives what is left and where, in words,
   * or null.
   */
  async erase(tenantId: string, right: Right): Promise<string | null> {
    const left = await this.emptied(tenantId, right);
    // It takes no password to remove a folder: what is sealed for a stack may be lost.
    const { url } = await this.settings.places.repository(tenantId, '');
    if (isFolder(url)) {
      await rm(url, { recursive: true, force: true });
    }
    await this.database.manager.delete(RepositoryEntity, { tenantId });
    if (left === null || (!isFolder(url) && left.code === 'REPOSITORY_MISSING')) {
      return null;
    }
    return isFolder(url)
      ? `what restic looked up of its backups on this host is encrypted and goes by itself within weeks (${left.message})`
      : `its backups could not all be removed: the repository ${tenantId} stays in the store until somebody removes it there, and its password is gone (${left.message})`;
  }

  /** Why it could not be, or null. */
  private async emptied(tenantId: string, right: Right): Promise<DomainError | null> {
    const { places, emptyMs = EMPTY_MS } = this.settings;
    const late = AbortSignal.timeout(emptyMs);
    const signal = AbortSignal.any([right.signal, late]);
    try {
      const place = await this.place(tenantId);
      if (!place) {
        return null;
      }
      const repository = new Repository(places.restic, place);
      const id = await repository.id(signal);
      try {
        if (!isFolder(place.url)) {
          await withLock({ ...right, signal }, repository, () => repository.empty(signal));
        }
      } finally {
        await removeCache(places.restic.cacheDir, id);
      }
      return null;
    } catch (error) {
      right.signal.throwIfAborted();
      if (error === late.reason) {
        return new DomainError('DEADLINE_EXCEEDED', {
          message: `It was not emptied in ${Math.round(emptyMs / 1_000)} s.`,
          cause: error,
        });
      }
      if (isDomainError(error) && NOT_EMPTIED.includes(error.code)) {
        return error;
      }
      throw error;
    }
  }

  private async place(tenantId: string): Promise<RepositoryPlace | null> {
    const { manager } = this.database;
    const { keys, places } = this.settings;
    const row = await manager.findOneBy(RepositoryEntity, { tenantId });
    const key = row && (await keys.of(manager, tenantId));
    return row && key && places.repository(tenantId, key.open(repositoryContext(tenantId), row.sealed));
  }
}

/** As restic has it: of a place in a store the kind of store comes first. */
const isFolder = (url: string): boolean => url.startsWith('/');
