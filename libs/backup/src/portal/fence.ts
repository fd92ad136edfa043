import { Readable } from 'node:stream';
import { DomainError, isDomainError } from '#libs/contracts';
import type { Repository, Snapshot } from '#libs/restic';
import type { Fence } from '#libs/tenants';
import { storeStream } from '../store.js';

/** Of the snapshots that fences are. */
export const FENCE_TAG = 'fence';
const FILE = 'fence.json';
const ORDINAL = 'ordinal=';
const RECOVERY = 'recovery=';
/** Not the tag a backup's own snapshots have. */
const SOURCE = 'recovered-from=';
/** Three times of what restic lets go by until it renews a lock, and longer than a proof is between two snapshots of most portals. */
const LIFE_MS = 15 * 60_000;

export const ordinalTag = (ordinal: number): string => `${ORDINAL}${ordinal}`;

const valueOf = (tags: readonly string[], beginning: string): string | undefined =>
  tags.find((tag) => tag.startsWith(beginning))?.slice(beginning.length);

/** Of the database that stored it. Versions that knew none wrote none. */
export const ordinalOf = ({ tags }: Pick<Snapshot, 'tags'>): number => Number(valueOf(tags, ORDINAL) ?? 0);

const isAfter = (one: Fence, other: Fence): boolean =>
  one.ordinal !== other.ordinal
    ? one.ordinal > other.ordinal
    : one.at.getTime() !== other.at.getTime()
      ? one.at > other.at
      : one.recovery > other.recovery;

/** As it lies in the repository. */
export interface StoredFence extends Fence {
  /** Id of the backup that was recovered; older versions did not say. */
  source?: string | undefined;
}

/** Newest first. */
export function fencesOf(snapshots: readonly Snapshot[]): StoredFence[] {
  return snapshots
    .filter(({ tags }) => tags.includes(FENCE_TAG))
    .map((one) => ({
      ordinal: ordinalOf(one),
      recovery: valueOf(one.tags, RECOVERY) ?? '',
      at: one.time,
      source: valueOf(one.tags, SOURCE),
    }))
    .toSorted((a, b) => (isAfter(a, b) ? -1 : 1));
}

/** For the next recovery: above everything that any database ever wrote there. */
export const nextOrdinal = (snapshots: readonly Snapshot[]): number =>
  1 + Math.max(0, ...snapshots.map((one) => ordinalOf(one)));

/**
 * Those stored by a database after another had taken its place: it knows nothing of what happened since. The two times
 * are of two machines' clocks; what is not newer than the backup that was recovered was surely there before.
 */
export function straysOf<T extends Pick<Fence, 'at' | 'ordinal'> & { id: string }>(
  backups: readonly T[],
  fences: readonly StoredFence[],
): Set<T> {
  const times = new Map(backups.map(({ id, at }) => [id, at]));
  const isAfter = ({ at }: T, fence: StoredFence): boolean =>
    at > fence.at && at > (times.get(fence.source ?? '') ?? fence.at);
  return new Set(backups.filter((one) => fences.some((fence) => fence.ordinal > one.ordinal && isAfter(one, fence))));
}

export interface NewFence extends Omit<Fence, 'at'> {
  backup: string;
  platform: string;
  now: Date;
}

/** A lock that stands in its way is of the host that is lost: what removes data locks everybody else out. */
export async function storeFence(repository: Repository, fence: NewFence, signal: AbortSignal): Promise<void> {
  const { ordinal, recovery, backup, platform, now } = fence;
  const written = JSON.stringify({ version: 1, ordinal, recovery, at: now.toISOString(), backup, platform });
  const part = {
    name: FILE,
    tags: [FENCE_TAG, ordinalTag(ordinal), `${RECOVERY}${recovery}`, `${SOURCE}${backup}`],
    host: platform,
  };
  const store = (): Promise<unknown> => storeStream(repository, part, Readable.from(`${written}\n`), signal);
  try {
    await store();
  } catch (error) {
    if (!isDomainError(error, 'REPOSITORY_LOCKED')) {
      throw error;
    }
    await repository.unlock(signal);
    await store();
  }
}

/** What says that somebody still works with the repository, in words; null where nothing does. */
export async function signOfLife(
  repository: Pick<Repository, 'snapshots' | 'locks'>,
  { now, signal }: { now: Date; signal: AbortSignal },
): Promise<string | null> {
  const after = new Date(now.getTime() - LIFE_MS);
  const [lock] = (await repository.locks(signal)).toSorted((a, b) => b.time.getTime() - a.time.getTime());
  if (lock !== undefined && lock.time > after) {
    return `it is locked since ${lock.time.toISOString()} by ${lock.host}`;
  }
  const newest = (await repository.snapshots([], signal)).toSorted((a, b) => b.time.getTime() - a.time.getTime())[0];
  if (newest === undefined || newest.time <= after) {
    return null;
  }
  const at = newest.time.toISOString();
  return newest.tags.includes(FENCE_TAG)
    ? `a recovery stored its mark in it at ${at}; where that was one on this machine that did not come to its end, --old-host-is-off takes it up again`
    : `something was stored in it at ${at}`;
}

/** Throws WRONG_STATE where the repository is in use. */
export async function requireNoLife(
  repository: Pick<Repository, 'snapshots' | 'locks'>,
  at: { now: Date; signal: AbortSignal },
): Promise<void> {
  const life = await signOfLife(repository, at);
  if (life !== null) {
    throw new DomainError('WRONG_STATE', {
      message: `The old host may be alive: the portal’s repository was in use within the last ${LIFE_MS / 60_000} minutes (${life}). Two hosts must never trade the same accounts. Turn the old host off for good and wait, or say --old-host-is-off where you know that it is. That this is not said later proves nothing: a host that is well may store nothing there for a day. Nothing was changed.`,
      details: { why: 'alive', life },
    });
  }
}
