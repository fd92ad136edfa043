import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backupPlaces } from './backup-places.js';

const config = {
  BACKUP_URL: '/var/lib/aviary/backups',
  BACKUP_S3_DIR: '/nowhere',
  BACKUP_S3_REGION: '',
  RESTIC_BINARY: '/usr/bin/restic',
  RESTIC_CACHE_DIR: '/cache',
  SECRET_DIR: '/run/secrets',
};

it('gives each repository a folder of its own', async () => {
  const places = backupPlaces(config);
  expect(places.restic).toEqual({ binary: '/usr/bin/restic', secretDir: '/run/secrets', cacheDir: '/cache' });
  expect(await places.repository('u4k7mzq', 'pw')).toEqual({ url: '/var/lib/aviary/backups/u4k7mzq', password: 'pw' });
});

it('reads the key of an S3 server each time, and says which part of it is not there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aviary-s3-'));
  try {
    const url = 's3:https://s3.example.org/bucket';
    const places = backupPlaces({
      ...config,
      BACKUP_URL: url,
      BACKUP_S3_DIR: folder,
      BACKUP_S3_REGION: 'eu-central-1',
    });
    await writeFile(join(folder, 'key-id'), 'AKID\n');
    await expect(places.repository('u4k7mzq', 'pw')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('secret-key') as string,
    });
    await writeFile(join(folder, 'secret-key'), 'hush\nregion=elsewhere\n');
    const refusal = await places.repository('u4k7mzq', 'pw').catch((error: unknown) => String(error));
    expect(refusal).toContain('no single word');
    expect(refusal).not.toContain('hush');
    await writeFile(join(folder, 'secret-key'), 'hush\n');
    expect(await places.repository('u4k7mzq', 'pw')).toEqual({
      url: `${url}/u4k7mzq`,
      password: 'pw',
      s3: { accessKey: 'AKID', secretKey: 'hush', region: 'eu-central-1' },
    });
    await writeFile(join(folder, 'secret-key'), 'newer');
    expect((await places.repository('u4k7mzq', 'pw')).s3).toMatchObject({ secretKey: 'newer' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
