import { Readable } from 'node:stream';
import { ReadableStream, type ReadableStream as WebStream } from 'node:stream/web';
import { MoreThan } from 'typeorm';
import { Semaphore } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { BackupEntity, ExportEntity, type Database } from '#libs/db';
import { MOST_EXPORTS, tooManyDownloads } from '#libs/tenants';
import { passphraseRecipient, sealed } from './age.js';
import { archiveOf } from './archive.js';
import { MANIFEST_FILE } from './domain/archive.js';
import { manifestSchema } from './domain/manifest.js';
import type { Repositories } from './repositories.js';

export interface OpenExport {
  /** Sealed, as fast as it is read; fails where not all of it came whole, and then has no end that opens. */
  stream: Readable;
  bytes: number;
}

/** Backups as archives that somebody opens without the platform: a tar, sealed by age under a passphrase. */
export class BackupExports {
  private open = 0;
  /** A passphrase's key takes 128 MiB while it is derived. */
  private readonly deriving = new Semaphore(1);

  constructor(private readonly deps: { dataSource: Database; repositories: Repositories; now: () => Date }) {}

  /**
   * The archive of a download that was asked for and begun, to be read to its end or destroyed. Throws NOT_FOUND where
   * there is no such download, or its backup is not there any more, RATE_LIMITED while as many as this host bears are read, and what keeps its repository from being read.
   */
  async start(id: string, passphrase: string, signal: AbortSignal): Promise<OpenExport> {
    // The rows say it first; this is for what is still being let go of.
    if (this.open >= MOST_EXPORTS) {
      throw tooManyDownloads(MOST_EXPORTS);
    }
    this.open += 1;
    try {
      const { stream, bytes } = await this.sealed(id, passphrase, signal);
      stream.once('close', () => {
        this.open -= 1;
      });
      return { stream, bytes };
    } catch (error) {
      this.open -= 1;
      throw error;
    }
  }

  private async sealed(id: string, passphrase: string, signal: AbortSignal): Promise<OpenExport> {
    const { manager } = this.deps.dataSource;
    // Nothing leaves without a row that says so.
    const asked = await manager.findOneBy(ExportEntity, {
      id,
      state: 'sending',
      aliveUntil: MoreThan(this.deps.now()),
    });
    const backup =
      asked &&
      (await manager.findOneBy(BackupEntity, { id: asked.backupId, tenantId: asked.tenantId, state: 'verified' }));
    if (!backup) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such download, or its backup is gone.' });
    }
    const repository = await this.deps.repositories.find(backup.tenantId);
    if (!repository) {
      throw new DomainError('REPOSITORY_MISSING');
    }
    const recipient = passphraseRecipient(passphrase);
    const { tar, bytes } = await archiveOf({
      repository,
      manifest: manifestSchema.parse(backup.manifest),
      parts: backup.parts.filter(({ name }) => name !== MANIFEST_FILE),
      signal,
    });
    try {
      const clear = ReadableStream.from(tar) as WebStream<Uint8Array>;
      const archive = await this.deriving.run(() => sealed(clear, recipient));
      return { stream: Readable.fromWeb(archive as WebStream<Uint8Array>), bytes: archive.size(bytes) };
    } catch (error) {
      tar.destroy();
      throw error;
    }
  }
}
