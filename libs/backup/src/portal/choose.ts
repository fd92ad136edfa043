import { DomainError, isDomainError } from '#libs/contracts';
import type { Repository } from '#libs/restic';
import type { PortalManifest, PortalProof } from '../domain/manifest.js';
import { fencesOf, straysOf } from './fence.js';
import {
  isVerified,
  isWhole,
  knownBackup,
  readManifest,
  readProof,
  storedBackups,
  type StoredBackup,
} from './portal-snapshots.js';

export interface RecoverableBackup {
  stored: StoredBackup;
  manifest: PortalManifest;
  /** Null where it was never restored and compared. */
  proof: PortalProof | null;
}

export interface Choice {
  chosen: RecoverableBackup;
  /** How many newer ones are there that were never verified, or cannot be read. */
  newer: number;
  /** Of those, what is wrong with each that cannot be read. */
  unreadable: string[];
  /** The other verified ones, the newest first. */
  others: StoredBackup[];
  /** How many are left out that a host stored whose place an earlier recovery had taken. */
  strays: number;
}

/** What a person can name by --backup, the newest first; nothing of it is opened. */
export async function listBackups(
  repository: Repository,
  signal: AbortSignal,
): Promise<{ id: string; at: string; state: string }[]> {
  const stored = storedBackups(await repository.snapshots([], signal)).filter(isWhole);
  return stored.map((one) => ({ id: one.id, at: one.at.toISOString(), state: knownBackup(one).state }));
}

const named = (backups: readonly StoredBackup[]): string =>
  backups.map(({ id, at }) => `${id} of ${at.toISOString()}`).join(', ');

/** An error about one backup, with the others that count: any of them can be named instead. */
export function namingOthers(error: unknown, others: readonly StoredBackup[]): unknown {
  if (!isDomainError(error)) {
    return error;
  }
  const instead =
    others.length === 0
      ? 'The repository holds no other verified backup.'
      : `Other verified backups, of which one can be named with --backup: ${named(others)}.`;
  const { code, message, details } = error;
  return new DomainError(code, { message: `${message} ${instead}`, details, cause: error });
}

/**
 * The backup to recover from: the newest verified one that can be read, or that of the id. One that a newer version of
 * the platform wrote is not left out: taking that version's sources loses less. One that a replaced host stored after
 * the recovery that replaced it is left out unless it is named. Throws NOT_FOUND with what there is, and
 * what is wrong with the one named together with the others.
 */
export async function chooseBackup(
  repository: Repository,
  { id, signal }: { id: string | null; signal: AbortSignal },
): Promise<Choice> {
  const snapshots = await repository.snapshots([], signal);
  const all = storedBackups(snapshots).filter(isWhole);
  const left = straysOf(all, fencesOf(snapshots));
  const whole = id === null ? all.filter((one) => !left.has(one)) : all;
  const strays = all.length - whole.length;
  const unreadable: string[] = [];
  for (const [newer, stored] of whole.entries()) {
    if (id === null ? !isVerified(stored) : stored.id !== id) {
      continue;
    }
    const others = whole.filter((one) => one !== stored && isVerified(one));
    try {
      const proof = await readProof(repository, stored, signal);
      const manifest = await readManifest(repository, stored, signal);
      return { chosen: { stored, manifest, proof }, newer, unreadable, others, strays };
    } catch (error) {
      signal.throwIfAborted();
      if (id !== null || !isDomainError(error) || error.details['why'] === 'version') {
        throw namingOthers(error, others);
      }
      unreadable.push(`the backup ${stored.id} of ${stored.at.toISOString()} cannot be read: ${error.message}`);
    }
  }
  throw none(id, whole, unreadable);
}

function none(id: string | null, whole: readonly StoredBackup[], unreadable: readonly string[]): DomainError {
  if (id !== null) {
    return new DomainError('NOT_FOUND', {
      message: `The repository holds no backup ${id} of the portal${whole.length === 0 ? '' : `, but ${named(whole)}`}.`,
    });
  }
  if (unreadable.length > 0) {
    return new DomainError('REPOSITORY_DAMAGED', {
      message: `Of the portal's verified backups none can be read: ${unreadable.join('; ')}. Bring back the repository as it was from another copy.`,
    });
  }
  const unverified = whole.length === 0 ? '' : ` It holds unverified ones, of which one can be named: ${named(whole)}.`;
  return new DomainError('NOT_FOUND', {
    message: `The repository holds no verified backup of the portal.${unverified}`,
  });
}
