import { pack } from 'tar-stream';
import { manifestText, readmeText, sumsOf, tarSize } from './archive.js';
import type { Manifest } from './manifest.js';

const manifest: Manifest = {
  version: 1,
  backup: '0190a000-0000-7000-8000-000000000001',
  platform: 'p',
  tenant: '0190a000-0000-7000-8000-000000000002',
  slug: 'u4k7mzq',
  release: 'standard@1.7.2+0a1b2c3d',
  template: 'standard',
  takenAt: '2026-11-22T01:14:09.123Z',
  databases: [
    {
      service: 'postgres',
      user: 'bot',
      database: 'bot',
      server: '17.6 (Debian 17.6-0+deb13u1)',
      part: 'postgres.dump',
      bytes: 9,
      sha256: 'a'.repeat(64),
      tables: [{ schema: 'public', name: 'fills', rows: 3 }],
    },
  ],
  stack: 'b'.repeat(64),
  volumes: [{ volume: 'files', part: 'files.tar', bytes: 1_024, sha256: 'c'.repeat(64) }],
  logs: [{ service: 'runtime', part: 'runtime.log', bytes: 12, sha256: 'd'.repeat(64) }],
};

it('knows how large a tar of files is before it is made', async () => {
  const sizes = [0, 1, 511, 512, 513, 100_000];
  const tar = pack();
  for (const [at, size] of sizes.entries()) {
    tar.entry({ name: `u4k7mzq-20261122T011409Z/file-${at}` }, Buffer.alloc(size));
  }
  tar.finalize();
  let bytes = 0;
  for await (const chunk of tar as AsyncIterable<Buffer>) {
    bytes += chunk.length;
  }
  expect(tarSize(sizes)).toBe(bytes);
});

it('tells what lies in an archive and how it is used', () => {
  const text = readmeText(manifest);
  for (const words of [
    'stack u4k7mzq (release standard@1.7.2+0a1b2c3d), its data of 2026-11-22T01:14:09.123Z',
    /^postgres\.dump +the database, as pg_dump -Fc of PostgreSQL 17\.6/m,
    /^files\.tar +files of a volume$/m,
    /^runtime\.log +what runtime logged last$/m,
    'pg_restore --list postgres.dump',
    'sha256sum --check SHA256SUMS',
  ]) {
    expect(text).toMatch(words);
  }
});

it('leaves out what only says something to the platform', () => {
  expect(JSON.parse(manifestText(manifest))).toEqual({ ...manifest, stack: undefined });
  expect(manifestText(manifest)).not.toContain('b'.repeat(64));
});

it('lists sums as sha256sum reads them', () => {
  expect(sumsOf([{ name: 'postgres.dump', sha256: 'a'.repeat(64) }])).toBe(`${'a'.repeat(64)}  postgres.dump\n`);
});
