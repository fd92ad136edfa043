import { DomainError } from '#libs/contracts';
import type { Manifest } from './domain/manifest.js';

/** Of the disk on which the engine keeps its volumes, in MiB. */
export interface Room {
  freeMb: number;
  /** What must stay free whatever is done. */
  floorMb: number;
}

const MIB = 1024 * 1024;
/** PostgreSQL's own `max_wal_size`: what loading writes beside the data before it is cleared away. */
const MOST_WAL_BYTES = 1024 * MIB;
/** Of a dump without its database's size: data and its indexes. */
const OF_DUMP = 2;

/** Bytes on disk that a backup's data takes while it is loaded. */
export function takenByLoading({ databases }: Pick<Manifest, 'databases'>): number {
  return databases.map(({ bytes, size }) => withLog(size ?? bytes * OF_DUMP)).reduce((sum, size) => sum + size, 0);
}

/** Bytes on disk that a database of that size takes while it is loaded. */
export const withLog = (size: number): number => size + Math.min(size, MOST_WAL_BYTES);

/** Throws NO_CAPACITY with the figures where so many bytes would leave less than the floor. */
export function requireRoom(bytes: number, { freeMb, floorMb }: Room): void {
  const needMb = Math.ceil(bytes / MIB);
  if (freeMb - needMb < floorMb) {
    throw new DomainError('NO_CAPACITY', {
      message: `Loading the data takes ${needMb} MiB; ${freeMb} MiB are free on this host, of which ${floorMb} MiB must stay so. Free space or enlarge the disk.`,
      details: { why: 'disk', needMb, freeMb, floorMb },
    });
  }
}
