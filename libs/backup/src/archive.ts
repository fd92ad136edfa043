import { once } from 'node:events';
import { pack, type Header, type Pack } from 'tar-stream';
import type { BackupPart } from '#libs/db';
import type { Repository } from '#libs/restic';
import { archiveName } from '#libs/tenants';
import { MANIFEST_FILE, manifestText, README, readmeText, SUMS, sumsOf, tarSize } from './domain/archive.js';
import type { Manifest } from './domain/manifest.js';
import { Meter, requireAsStored } from './meter.js';

export interface ArchiveSource {
  repository: Pick<Repository, 'open'>;
  manifest: Manifest;
  /** Databases and volumes, without the repository's own manifest, which holds the stack's sealed secrets. */
  parts: readonly BackupPart[];
  signal: AbortSignal;
}

type Opened = Awaited<ReturnType<Repository['open']>>;
type FileHeader = Pick<Header, 'name' | 'size' | 'mode' | 'mtime'>;

/**
 * A tar of the backup, as fast as it is read, and how many bytes it will be. Rejects with what keeps the repository from
 * being read; what goes wrong once the first of it was read, and what is not as it was stored, fails the stream.
 */
export async function archiveOf(source: ArchiveSource): Promise<{ tar: Pack; bytes: number }> {
  const { manifest, parts } = source;
  const [first] = parts;
  const opened = first && (await openPart(source, first));
  const texts = Object.entries({
    [README]: readmeText(manifest),
    [MANIFEST_FILE]: manifestText(manifest),
    [SUMS]: sumsOf(parts),
  }).map(([name, text]) => ({ name, content: Buffer.from(text) }));
  const tar = pack();
  fill(tar, source, { texts, opened }).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  const sizes = [...texts.map(({ content }) => content.length), ...parts.map(({ bytes }) => bytes)];
  return { tar, bytes: tarSize(sizes) };
}

/** The part with its first bytes, so that a repository that does not open is told before anything is sent. */
async function openPart({ repository, signal }: ArchiveSource, { snapshotId, name }: BackupPart): Promise<Opened> {
  const opened = await repository.open(snapshotId, name, signal);
  await Promise.race([once(opened.stream, 'readable'), opened.ended]);
  if (opened.stream.readableLength === 0) {
    await opened.ended;
  }
  return opened;
}

interface Filling {
  texts: readonly { name: string; content: Buffer }[];
  /** The first part. */
  opened: Opened | undefined;
}

async function fill(tar: Pack, source: ArchiveSource, { texts, opened }: Filling): Promise<void> {
  const { manifest, parts } = source;
  const mtime = new Date(manifest.takenAt);
  const folder = archiveName(manifest.slug, mtime);
  const headerOf = (name: string, size: number): FileHeader => ({
    name: `${folder}/${name}`,
    size,
    mode: 0o600,
    mtime,
  });
  for (const { name, content } of texts) {
    await addEntry(tar, headerOf(name, content.length), [content]);
  }
  for (const [at, part] of parts.entries()) {
    const of = (at === 0 ? opened : undefined) ?? (await openPart(source, part));
    await addEntry(tar, headerOf(part.name, part.bytes), asStored(part, of));
  }
}

/** What the repository gives; throws at its end where that is not what was stored. */
async function* asStored(part: BackupPart, { stream, ended }: Opened): AsyncGenerator<Buffer> {
  const meter = new Meter();
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    meter.count(chunk);
    yield chunk;
  }
  await ended;
  requireAsStored(part, meter);
}

async function addEntry(
  tar: Pack,
  header: FileHeader,
  content: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<void> {
  const { promise: added, resolve, reject } = Promise.withResolvers<void>();
  added.catch(() => undefined); // Its failure is thrown where it is waited for.
  const entry = tar.entry(header, (error) => (error ? reject(error) : resolve()));
  entry.on('error', reject); // A tar that is destroyed takes its entry with it, and that says so.
  for await (const chunk of content) {
    if (!entry.write(chunk)) {
      await Promise.race([once(entry, 'drain'), added]);
    }
  }
  entry.end(null);
  await added;
}
