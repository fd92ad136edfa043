import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '#libs/contracts';
import type { BackupPart } from '#libs/db';
import type { Repository } from '#libs/restic';
import { Meter } from './meter.js';

/** Stores a stream as a part of its own, measured on its way. */
export async function storeStream(
  repository: Repository,
  part: Parameters<Repository['store']>[0],
  stream: Readable,
  signal: AbortSignal,
): Promise<BackupPart> {
  const meter = new Meter();
  const produced = pipeline(stream, meter);
  const { snapshotId, bytes, addedBytes } = await repository.store(part, meter, produced, signal);
  return { name: part.name, snapshotId, bytes, addedBytes, sha256: meter.sha256() };
}

/**
 * Throws BACKUP_FAILED unless the repository gives the manifest back as written and says that it has each volume. The
 * dumps are read whole afterwards.
 */
export async function readBack(
  repository: Repository,
  { list, written, volumes }: { list: BackupPart; written: string; volumes: readonly BackupPart[] },
  signal: AbortSignal,
): Promise<void> {
  const { stream, ended } = await repository.open(list.snapshotId, list.name, signal);
  const [back] = await Promise.all([text(stream), ended]);
  const there =
    volumes.length === 0 ? new Set() : new Set((await repository.snapshots([], signal)).map(({ id }) => id));
  const missing = volumes.filter(({ snapshotId }) => !there.has(snapshotId)).map(({ name }) => name);
  if (back !== written || missing.length > 0) {
    throw new DomainError('BACKUP_FAILED', {
      message: `The repository does not give back what was stored: ${[...(back === written ? [] : [list.name]), ...missing].join(', ')}.`,
      details: { why: 'lost' },
    });
  }
}
