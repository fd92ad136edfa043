import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResticSettings } from '#libs/restic';
import { backupTool } from './backup-tools.js';

/**
 * Folders for repositories of a test file and how its restic is run, there before its first test and gone after its
 * last. After each test no password may lie there any more.
 */
export function resticHome(): { folder: string; settings: ResticSettings } {
  const home = { folder: '', settings: { binary: '', secretDir: '', cacheDir: '' } };
  beforeAll(async () => {
    home.folder = await mkdtemp(join(tmpdir(), 'aviary-restic-'));
    const at = (name: string): string => join(home.folder, name);
    home.settings = { binary: backupTool('restic'), secretDir: at('secrets'), cacheDir: at('cache') };
    await mkdir(home.settings.secretDir, { mode: 0o700 });
  });
  afterAll(() => rm(home.folder, { recursive: true, force: true }));
  afterEach(async () => {
    expect(await readdir(home.settings.secretDir)).toEqual([]);
  });
  return home;
}
