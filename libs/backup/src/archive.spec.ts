import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import type { BackupPart } from '#libs/db';
import { archiveOf, type ArchiveSource } from './archive.js';
import type { Manifest } from './domain/manifest.js';

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

/** A database and two volumes, the second of which is empty. */
const FILES = new Map([
  ['postgres.dump', randomBytes(300_000)],
  ['worker-data.tar', randomBytes(1_000_001)],
  ['cache.tar', Buffer.alloc(0)],
]);
const PARTS: BackupPart[] = [...FILES].map(([name, content]) => ({
  name,
  snapshotId: `of ${name}`,
  bytes: content.length,
  addedBytes: 0,
  sha256: sha256(content),
}));
const [database, ...volumes] = PARTS.map(({ name, bytes, sha256: sum }) => ({ part: name, bytes, sha256: sum }));
const MANIFEST: Manifest = {
  version: 1,
  backup: '01890000-0000-7000-8000-000000000000',
  platform: 'p',
  tenant: '01890000-0000-7000-8000-000000000001',
  slug: 'u4k7mzq',
  release: 'standard@1.0.0',
  template: 'standard',
  takenAt: '2026-11-22T01:14:09.000Z',
  databases: [{ service: 'postgres', user: 'u', database: 'd', server: '17.6', tables: [], ...database! }],
  volumes: volumes.map((volume) => ({ volume: volume.part, ...volume })),
};

/** What a repository gives of these, and in which order it was asked. */
function source(files: ReadonlyMap<string, Buffer>): ArchiveSource & { opened: string[] } {
  const opened: string[] = [];
  return {
    opened,
    repository: {
      open(snapshotId, name) {
        opened.push(`${name} ${snapshotId}`);
        return Promise.resolve({ stream: Readable.from([files.get(name)!]), ended: Promise.resolve() });
      },
    },
    manifest: MANIFEST,
    parts: PARTS,
    signal: new AbortController().signal,
  };
}

it('holds every part beside what says what they are, in as many bytes as it was said to take', async () => {
  const from = source(FILES);
  const { tar, bytes } = await archiveOf(from);
  const whole = await buffer(tar);
  expect(whole.length).toBe(bytes);
  const found = new Map<string, Buffer>();
  const reading = extract();
  Readable.from([whole]).pipe(reading);
  for await (const entry of reading) {
    found.set(entry.header.name, await buffer(entry));
  }
  const at = 'u4k7mzq-20261122T011409Z';
  expect([...found.keys()]).toEqual(
    ['README.txt', 'manifest.json', 'SHA256SUMS', ...FILES.keys()].map((name) => `${at}/${name}`),
  );
  for (const [name, content] of FILES) {
    expect(sha256(found.get(`${at}/${name}`)!)).toBe(sha256(content));
  }
  expect(String(found.get(`${at}/SHA256SUMS`))).toBe(PARTS.map((part) => `${part.sha256}  ${part.name}\n`).join(''));
  expect(String(found.get(`${at}/README.txt`))).toContain('files of a volume');
  expect(from.opened).toEqual(PARTS.map(({ name, snapshotId }) => `${name} ${snapshotId}`));
});

it('has no end where a later part is not what was stored', async () => {
  const damaged = Buffer.from(FILES.get('worker-data.tar')!);
  damaged[500_000]! ^= 1;
  const { tar } = await archiveOf(source(new Map([...FILES, ['worker-data.tar', damaged]])));
  tar.resume();
  await expect(once(tar, 'end')).rejects.toMatchObject({ code: 'BACKUP_UNVERIFIED' });
});
