import { DomainError, isDomainError } from '#libs/contracts';
import type { MasterKey } from '#libs/crypto';
import { MASTER_KEY, masterKeyOf, type MasterKeys, type PortalRepositoryKeys } from '#libs/keys';
import { Repository } from '#libs/restic';
import type { Fence } from '#libs/tenants';
import type { BackupPlaces } from '../places.js';
import { FENCE_TAG, fencesOf } from './fence.js';

/** Its name beside those of stacks, which are ids: recovery knows it without knowing anything of the platform. */
export const PORTAL_REPOSITORY = 'portal';

interface Settings {
  places: BackupPlaces;
  masters: MasterKeys;
}

export interface OpenedRepository {
  repository: Repository;
  /** Whose password opened it. */
  master: MasterKey;
}

/**
 * The repository with the portal's own backups. Its password follows from the master key, and nothing else is needed.
 * A rotation lets the new key's password in before it moves anything and shuts the old one's out before it ends: restic
 * keeps the key of the data under each password, so what was stored stays as it is. Whoever works in it does so alone,
 * by the lease of the engine and by `alone` within the process.
 */
export class PortalRepository implements PortalRepositoryKeys {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly settings: Settings) {}

  /** One after the other: a lock found in the repository is then a dead one's. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work, work);
    this.last = done.catch(() => undefined); // Told to whoever asked for it.
    return done;
  }

  /** Null where there is none. Throws REPOSITORY_KEY where no master key given opens it. */
  async find(signal: AbortSignal): Promise<OpenedRepository | null> {
    const { current, next } = this.settings.masters;
    try {
      for (const master of next === null ? [current] : [current, next]) {
        const repository = await this.of(master);
        if (await repository.opens(signal)) {
          return { repository, master };
        }
      }
    } catch (error) {
      if (isDomainError(error, 'REPOSITORY_MISSING')) {
        return null;
      }
      throw error;
    }
    const { url } = await this.settings.places.repository(PORTAL_REPOSITORY, '');
    throw new DomainError('REPOSITORY_KEY', {
      message: `The repository ${url} of the portal’s backups does not open with the master key ${current.id}${next === null ? '' : ` nor with ${next.id}`}. Give the one it was made with as ${MASTER_KEY}; where it is another platform’s, or that key is lost, move the folder away and a new one is made.`,
    });
  }

  /** Newest first, by one call without a lock; none where there is no repository. Throws as `find`. */
  async fences(signal: AbortSignal): Promise<Fence[]> {
    const { current, next } = this.settings.masters;
    try {
      return fencesOf(await (await this.of(current)).snapshots([FENCE_TAG], signal));
    } catch (error) {
      if (isDomainError(error, 'REPOSITORY_MISSING')) {
        return [];
      }
      if (next === null || !isDomainError(error, 'REPOSITORY_KEY')) {
        throw error;
      }
      return fencesOf(await (await this.of(next)).snapshots([FENCE_TAG], signal));
    }
  }

  /** Made where there is none yet, under that master key. */
  async ensure(master: MasterKey, signal: AbortSignal): Promise<OpenedRepository> {
    const found = await this.find(signal);
    if (found !== null) {
      return found;
    }
    const made = await this.with(master);
    await made.repository.ensure(signal);
    return made;
  }

  /** As that key's password opens it, whether or not it does. */
  async with(master: MasterKey): Promise<OpenedRepository> {
    return { repository: await this.of(master), master };
  }

  async opensWith(master: MasterKey, signal: AbortSignal): Promise<boolean> {
    return (await this.of(master)).opens(signal);
  }

  admit(masterKey: string, signal: AbortSignal): Promise<void> {
    return this.alone(async () => {
      const found = await this.find(signal);
      const master = this.given(masterKey);
      if (found === null || (await this.opensWith(master, signal))) {
        return;
      }
      await found.repository.unlock(signal);
      await found.repository.addPassword(master.repositoryPassword(), signal);
    });
  }

  retireOthers(masterKey: string, signal: AbortSignal): Promise<void> {
    return this.alone(async () => {
      if ((await this.find(signal)) === null) {
        return;
      }
      const repository = await this.of(this.given(masterKey));
      await repository.unlock(signal);
      await repository.removeOtherPasswords(signal);
    });
  }

  private given(id: string): MasterKey {
    const master = masterKeyOf(this.settings.masters, id);
    if (master === null) {
      throw new DomainError('CONFIG_INVALID', { message: `The master key ${id} was not given to this process.` });
    }
    return master;
  }

  private async of(master: MasterKey): Promise<Repository> {
    const { places } = this.settings;
    return new Repository(places.restic, await places.repository(PORTAL_REPOSITORY, master.repositoryPassword()));
  }
}
