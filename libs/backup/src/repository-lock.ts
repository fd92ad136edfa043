import { isDomainError } from '#libs/contracts';
import type { BackupWork } from '#libs/orchestrator';
import type { Repository } from '#libs/restic';
import type { FenceGuard } from './portal/fence-guard.js';

export interface Right extends Pick<BackupWork, 'prove' | 'signal'> {
  fence: Pick<FenceGuard, 'prove'>;
}

/**
 * What takes a lock in the repository. Where another is in its way that is taken away, and it is done once more: to look
 * before each time would cost more than most backups do. Throws FENCED where the right to it is another's.
 */
export async function withLock<T>(right: Right, repository: Repository, write: () => Promise<T>): Promise<T> {
  await right.prove();
  await right.fence.prove();
  try {
    return await write();
  } catch (error) {
    if (!isDomainError(error, 'REPOSITORY_LOCKED')) {
      throw error;
    }
  }
  await makeFree(right, repository);
  return write();
}

/**
 * Takes away what stands in the way: while the lease is ours and no other database took the place of this one, whoever
 * holds a lock in the repository is dead.
 */
export async function makeFree({ prove, fence, signal }: Right, repository: Repository): Promise<void> {
  await prove();
  await fence.prove();
  await repository.unlock(signal);
}
