import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { release } from '#libs/async';
import type { BackupPart } from '#libs/db';
import type { Repository } from '#libs/restic';
import { Meter, requireAsStored } from './meter.js';

/** Stores a stream as a part of its own, measured on its way. */
export async function storeStream(
  repository: Repository,
  part: Parameters<Repository['store']>[0],
  stream: Readable,
  signal: AbortSignal,
): Promise<BackupPart> {
  const meter = new Meter();
  const produced = pipeline(stream, meter);
  const { snapshotId, bytes, addedBytes } = await repository.store(part, { stream: meter, produced }, signal);
  return { name: part.name, snapshotId, bytes, addedBytes, sha256: meter.sha256() };
}

/** Reads a part whole. Throws BACKUP_UNVERIFIED where it is not what was stored. */
export async function provePart(repository: Repository, part: BackupPart, signal: AbortSignal): Promise<void> {
  const { stream, ended } = await repository.open(part.snapshotId, part.name, signal);
  const meter = new Meter();
  meter.on('data', release);
  // What restic says of its end tells more than what that did to its output.
  const [read, copied] = await Promise.allSettled([ended, pipeline(stream, meter)]);
  signal.throwIfAborted();
  for (const outcome of [read, copied]) {
    if (outcome.status === 'rejected') {
      throw outcome.reason;
    }
  }
  requireAsStored(part, meter);
}
