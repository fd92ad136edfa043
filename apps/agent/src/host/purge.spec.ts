import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { backupsWord, emptyDataFolder, keptByPurge } from './purge.js';

let data: string;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'aviary-purge-'));
});
afterEach(() => rm(data, { recursive: true }));

async function put(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(data, path)), { recursive: true });
    await writeFile(join(data, path), 'x');
  }
}
const config = (BACKUP_URL = '', MASTER_KEY_COMMAND = '') => ({ BACKUP_URL, DATA_DIR: data, MASTER_KEY_COMMAND });

it('leaves the repositories of backups and the keys to them, and says so', async () => {
  await put('platform', 'routes/served.yml', 'backups/portal/config', 'backups/one/config', 'keys/master', 'bin/lego');
  await mkdir(join(data, 's3'));
  const kept = await keptByPurge(config());
  expect(kept).toEqual({ names: ['backups', 'keys'], repositories: 2 });
  const says = backupsWord(kept, data, false);
  expect(says).toContain('2 repositories of backups');
  expect(says).toContain(`${data}/backups, ${data}/keys stay`);
  await emptyDataFolder(data, kept.names);
  expect((await readdir(data)).toSorted()).toEqual(['backups', 'keys']);
  expect(await readdir(join(data, 'backups', 'portal'))).toEqual(['config']);
});

it('finds them where AVIARY_BACKUP_URL has them in the data folder, and those of before it was set', async () => {
  await put('backups/old/config', 'store/of/ours/portal/config', 'bin/key');
  expect(await keptByPurge(config(join(data, 'store/of/ours'), 'key'))).toEqual({
    names: ['backups', 'store', 'bin'],
    repositories: 2,
  });
  // What lies elsewhere is not of the data folder.
  expect(await keptByPurge(config('/mnt/backups'))).toEqual({ names: ['backups'], repositories: 1 });
  expect(await keptByPurge(config('s3:https://s3.example.org/aviary'))).toMatchObject({ names: ['backups'] });
});

it('removes them too where that is asked for', async () => {
  await put('backups/portal/config', 'keys/master');
  expect(backupsWord(await keptByPurge(config()), data, true)).toBe('1 repository of backups in it included');
  await emptyDataFolder(data, []);
  expect(await readdir(data)).toEqual([]);
  expect(backupsWord(await keptByPurge(config()), data, false)).toBe('no backup is in it');
});
