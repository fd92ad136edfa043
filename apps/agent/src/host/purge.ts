import { readdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { backupFolder } from './backup-place.js';
import { KEY_FOLDER } from './master-key.js';
import type { HostConfig } from './settings.js';

type Place = Pick<HostConfig, 'BACKUP_URL' | 'DATA_DIR' | 'MASTER_KEY_COMMAND'>;

/** What the data folder holds that no `up` makes anew, and that bringing this platform back needs. */
export interface Kept {
  /** Names in the data folder. */
  names: string[];
  /** Of backups, below those. */
  repositories: number;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
      return [];
    }
    throw error;
  });
}

/** restic's repositories lie side by side, each with a `config`. */
async function repositoriesIn(folder: string): Promise<number> {
  const within = await Promise.all((await namesIn(folder)).map((name) => namesIn(join(folder, name))));
  return within.filter((names) => names.includes('config')).length;
}

export async function keptByPurge(config: Place): Promise<Kept> {
  const { DATA_DIR, MASTER_KEY_COMMAND } = config;
  const set = backupFolder(config);
  // Those of before AVIARY_BACKUP_URL was set are still there.
  const folders = new Set([join(DATA_DIR, 'backups'), ...(set === null ? [] : [set])]);
  const backups = [...folders]
    .map((folder) => ({ folder, from: relative(DATA_DIR, folder).split('/')[0] ?? '' }))
    .filter(({ from }) => from !== '' && from !== '..');
  const counts = await Promise.all(backups.map(({ folder }) => repositoriesIn(folder)));
  // What a command prints the master key with lies in `bin` and `keys`.
  const wanted = [...backups.map(({ from }) => from), 's3', KEY_FOLDER, ...(MASTER_KEY_COMMAND === '' ? [] : ['bin'])];
  const filled = await Promise.all(
    [...new Set(wanted)].map(async (name) => ((await namesIn(join(DATA_DIR, name))).length > 0 ? [name] : [])),
  );
  return { names: filled.flat(), repositories: counts.reduce((sum, count) => sum + count, 0) };
}

/** In words, after what is removed. */
export function backupsWord({ names, repositories }: Kept, folder: string, withBackups: boolean): string {
  const many = `${repositories} ${repositories === 1 ? 'repository' : 'repositories'} of backups`;
  if (withBackups) {
    return `${many} in it included`;
  }
  return names.length === 0
    ? 'no backup is in it'
    : `of which ${names.map((name) => join(folder, name)).join(', ')} ${names.length === 1 ? 'stays' : 'stay'} (${many}; --with-backups removes them too)`;
}

/** Empties the data folder but for what is kept. */
export async function emptyDataFolder(folder: string, kept: readonly string[]): Promise<void> {
  for (const name of (await readdir(folder)).filter((one) => !kept.includes(one))) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}
