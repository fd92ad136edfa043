import { chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backupCheck, backupFacts, backupFolder, backupProblems, s3Answer } from './backup-place.js';
import { PORTAL } from './portal-user.js';
import { settle } from './settings.js';

const S3 = 's3:https://s3.example.org/aviary/backups';
const GIB = 2 ** 30;
let data: string;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'aviary-backups-'));
});
afterEach(() => rm(data, { recursive: true }));

it('is the data folder’s own unless a person says otherwise', () => {
  expect(backupFolder({ BACKUP_URL: '', DATA_DIR: '/d' })).toBe('/d/backups');
  expect(backupFolder({ BACKUP_URL: '/mnt/backups', DATA_DIR: '/d' })).toBe('/mnt/backups');
  expect(backupFolder({ BACKUP_URL: S3, DATA_DIR: '/d' })).toBeNull();
});

it.each(['relative/folder', '/with space', 's3:https://key:secret@host/bucket', 's3:https://host', 'sftp:host:/x'])(
  'refuses %s',
  (url) => {
    expect(() => settle('', { AVIARY_BACKUP_URL: url })).toThrow(/AVIARY_BACKUP_URL/);
  },
);

it('refuses a folder that holds the data folder, which would be taken over', () => {
  for (const url of ['/var/lib', '/var/lib/aviary', '/var/lib/aviary/']) {
    expect(() => settle('', { AVIARY_BACKUP_URL: url })).toThrow(/a folder of its own/);
  }
  expect(settle('', { AVIARY_BACKUP_URL: '/var/lib/aviary-backups' }).config.BACKUP_URL).toBe(
    '/var/lib/aviary-backups',
  );
});

it('takes an empty folder, its own of an earlier start, and nobody else’s', async () => {
  const config = { BACKUP_URL: join(data, 'own'), DATA_DIR: '/d' };
  expect(await backupFacts(config)).toMatchObject({ refuses: null, foreign: false });
  await mkdir(join(data, 'own', 'lost+found'), { recursive: true });
  expect(backupProblems(await backupFacts(config))).toEqual([]);
  await writeFile(join(data, 'own', 'letter'), 'x');
  expect(backupProblems(await backupFacts(config))).toEqual([expect.stringMatching(/files of another user/)]);
  if (process.getuid?.() === 0) {
    await chown(join(data, 'own'), PORTAL, PORTAL);
    expect(backupProblems(await backupFacts(config))).toEqual([]);
  }
});

it('names the halves of an S3 key that are not there', async () => {
  const config = { BACKUP_URL: S3, DATA_DIR: data };
  expect((await backupFacts(config)).missingKeys).toHaveLength(2);
  await mkdir(join(data, 's3'));
  await writeFile(join(data, 's3/key-id'), 'AK\n');
  await writeFile(join(data, 's3/secret-key'), ' \n');
  expect(backupProblems(await backupFacts(config))).toEqual([
    expect.stringMatching(/s3\/secret-key is missing\. AVIARY_BACKUP_URL/),
  ]);
});

it('shows the free space of a folder, and whether an S3 server answers', async () => {
  const facts = { folder: '/mnt/backups', refuses: null, foreign: false, missingKeys: [] };
  expect(backupCheck('', facts, { space: { used: GIB, free: 3 * GIB } })).toEqual({
    name: 'backups',
    state: 'ok',
    says: '/mnt/backups: 25 % used, 3.0 GiB free',
  });
  expect(backupCheck('', facts, { space: { used: 97 * GIB, free: 3 * GIB } }).state).toBe('bad');
  expect(backupCheck('', { ...facts, refuses: 'EROFS' }, { space: { used: 0, free: 1 } })).toMatchObject({
    state: 'bad',
    says: expect.stringMatching(/EROFS/) as string,
  });
  let status = 403;
  const server = createServer((_request, answer) => answer.writeHead(status).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `s3:http://127.0.0.1:${(server.address() as AddressInfo).port}/bucket`;
  const s3 = { ...facts, folder: null };
  expect(backupCheck(url, s3, await s3Answer(url))).toEqual({ name: 'backups', state: 'ok', says: `${url} answers` });
  status = 503;
  expect(backupCheck(url, s3, await s3Answer(url))).toMatchObject({ state: 'bad' });
  await new Promise((resolve) => server.close(resolve));
  expect(backupCheck(url, s3, await s3Answer(url))).toMatchObject({
    state: 'bad',
    says: expect.stringMatching(/ECONNREFUSED/) as string,
  });
});
