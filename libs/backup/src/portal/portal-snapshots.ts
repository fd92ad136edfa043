import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import type { Repository, Snapshot } from '#libs/restic';
import type { Fence, KnownBackup } from '#libs/tenants';
import { portalManifestSchema, portalProofSchema, type PortalManifest, type PortalProof } from '../domain/manifest.js';
import { ordinalOf } from './fence.js';

export const DUMP = 'portal.dump';
export const MANIFEST = 'manifest.json';
export const PROOF = 'verified.json';

const TAG = 'backup=';
export const tagOf = (backupId: string): string => `${TAG}${backupId}`;

/** A backup as its repository alone tells of it, which is all there is once the host is lost. */
export interface StoredBackup {
  id: string;
  /** When it was begun to be stored. */
  at: Date;
  /** Of the fence of the database that stored it; 0 where that was never recovered. */
  ordinal: number;
  snapshots: Snapshot[];
}

const partOf = ({ snapshots }: StoredBackup, name: string): Snapshot | undefined =>
  snapshots.find(({ paths }) => paths.includes(`/${name}`));
export const isWhole = (backup: StoredBackup): boolean => partOf(backup, MANIFEST) !== undefined;
export const isVerified = (backup: StoredBackup): boolean => isWhole(backup) && partOf(backup, PROOF) !== undefined;

/** Newest first: by which database, since two machines' clocks need not agree, then by time. */
export function storedBackups(snapshots: readonly Snapshot[]): StoredBackup[] {
  const byId = Map.groupBy(
    snapshots.filter(({ tags }) => tags.some((tag) => tag.startsWith(TAG))),
    ({ tags }) => tags.find((tag) => tag.startsWith(TAG))?.slice(TAG.length) ?? '',
  );
  return [...byId]
    .map(([id, own]) => ({
      id,
      snapshots: own,
      at: new Date(Math.min(...own.map(({ time }) => time.getTime()))),
      ordinal: Math.max(...own.map((one) => ordinalOf(one))),
    }))
    .toSorted((a, b) => b.ordinal - a.ordinal || b.at.getTime() - a.at.getTime());
}

/** As retention judges it: what a database stored whose place another took is not newer than that. */
export function knownBackup(backup: StoredBackup, fences: readonly Fence[] = []): KnownBackup {
  const state = isVerified(backup) ? 'verified' : isWhole(backup) ? 'stored' : 'failed';
  const later = fences.filter(({ ordinal }) => ordinal > backup.ordinal);
  const takenAt = new Date(Math.min(...[backup, ...later].map(({ at }) => at.getTime())));
  return { id: backup.id, takenAt, state, held: false };
}

/** Of manifest and proof; another is another version of the platform's. */
const FORM = 1;
const formSchema = z.looseObject({ version: z.int() });

/**
 * Throws CONFIG_INVALID with `why: version` where a version of the platform wrote it that this one does not know,
 * REPOSITORY_DAMAGED where it is none, else what the repository says.
 */
export async function readManifest(
  repository: Repository,
  backup: StoredBackup,
  signal: AbortSignal,
): Promise<PortalManifest> {
  return read(repository, backup, { name: MANIFEST, schema: portalManifestSchema, signal });
}

/** Null where it was never verified. */
export async function readProof(
  repository: Repository,
  backup: StoredBackup,
  signal: AbortSignal,
): Promise<PortalProof | null> {
  return isVerified(backup) ? read(repository, backup, { name: PROOF, schema: portalProofSchema, signal }) : null;
}

interface Wanted<T> {
  name: string;
  schema: z.ZodType<T>;
  signal: AbortSignal;
}

async function read<T>(repository: Repository, backup: StoredBackup, { name, schema, signal }: Wanted<T>): Promise<T> {
  const snapshot = partOf(backup, name);
  if (snapshot === undefined) {
    throw new Error(`The backup ${backup.id} has no ${name}`);
  }
  const { stream, ended } = await repository.open(snapshot.id, name, signal);
  const [content] = await Promise.all([text(stream), ended]);
  const form = formSchema.safeParse(jsonOf(content));
  if (form.success && form.data.version !== FORM) {
    throw new DomainError('CONFIG_INVALID', {
      message: `The backup ${backup.id} of ${backup.at.toISOString()} was written by another version of the platform: its ${name} is of form ${form.data.version}, and this version reads ${FORM}. Take the sources of the version that ran.`,
      details: { why: 'version' },
    });
  }
  const known = schema.safeParse(form.data);
  if (!known.success) {
    throw new DomainError('REPOSITORY_DAMAGED', {
      message: `${name} of the backup ${backup.id} is not what a backup has there.`,
      cause: known.error,
    });
  }
  return known.data;
}

/** Undefined where it is none. */
function jsonOf(content: string): unknown {
  try {
    return JSON.parse(content) as unknown;
  } catch {
    // That it is none is the answer.
    return undefined;
  }
}

/** Of the dump, as a row of backups has it. */
export function dumpPart(backup: StoredBackup, { database: { bytes, sha256 } }: PortalManifest) {
  return { name: DUMP, snapshotId: partOf(backup, DUMP)?.id ?? '', bytes, addedBytes: 0, sha256 };
}
