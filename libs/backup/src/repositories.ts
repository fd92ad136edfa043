import { rm } from 'node:fs/promises';
import { DomainError, isDomainError } from '#libs/contracts';
import { randomToken } from '#libs/crypto';
import { RepositoryEntity, tx, type Database } from '#libs/db';
import { repositoryContext, type DataKeys } from '#libs/keys';
import { Repository, type RepositoryPlace, type ResticSettings, type Snapshot } from '#libs/restic';

/** Where repositories lie, as this host is set up. */
export interface BackupPlaces {
  restic: ResticSettings;
  /** Of the repository with that name. */
  repository(name: string, password: string): Promise<RepositoryPlace>;
}

export interface RepositorySettings {
  places: BackupPlaces;
  keys: DataKeys;
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
   * Takes the stack's repository away, for ever. Out of a bucket nothing is removed, since restic has no way to; what
   * lies there is worth nothing once the row with its password is gone. The password is not opened for that: what is
   * sealed for a stack may be lost.
   */
  async erase(tenantId: string): Promise<void> {
    const place = await this.settings.places.repository(tenantId, '');
    if (place.url.startsWith('/')) {
      await rm(place.url, { recursive: true, force: true });
    }
    await this.database.manager.delete(RepositoryEntity, { tenantId });
  }

  private async place(tenantId: string): Promise<RepositoryPlace | null> {
    const { manager } = this.database;
    const { keys, places } = this.settings;
    const row = await manager.findOneBy(RepositoryEntity, { tenantId });
    const key = row && (await keys.of(manager, tenantId));
    return row && key && places.repository(tenantId, key.open(repositoryContext(tenantId), row.sealed));
  }
}
