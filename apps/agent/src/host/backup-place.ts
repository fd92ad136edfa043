import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { diskCheck, type Check, type Space } from './checks.js';
import { readText, writeRefusal } from './files.js';
import { isPortals } from './portal-user.js';
import type { HostConfig } from './settings.js';

const ANSWER_MS = 5_000;

type Place = Pick<HostConfig, 'BACKUP_URL' | 'DATA_DIR'>;

/** Where repositories of backups lie on this host, or null where they lie at an S3 server. */
export function backupFolder({ BACKUP_URL, DATA_DIR }: Place): string | null {
  return BACKUP_URL.startsWith('s3:') ? null : BACKUP_URL || join(DATA_DIR, 'backups');
}

/** A person puts both there; keys in `.env` would stand in every process's environment. */
export function s3KeyFiles({ DATA_DIR }: Pick<HostConfig, 'DATA_DIR'>): string[] {
  return ['key-id', 'secret-key'].map((name) => join(DATA_DIR, 's3', name));
}

export interface BackupFacts {
  folder: string | null;
  /** Why nothing can be written there, or null. */
  refuses: string | null;
  /** Files of another user are there, whose folder is not to be taken over. */
  foreign: boolean;
  /** Of the two, those that are not there or empty; none where no S3 is used. */
  missingKeys: readonly string[];
}

export async function backupFacts(config: Place): Promise<BackupFacts> {
  const folder = backupFolder(config);
  if (folder === null) {
    const keys = await Promise.all(
      s3KeyFiles(config).map(async (path) => ({ path, there: ((await readText(path)) ?? '').trim() !== '' })),
    );
    const missingKeys = keys.filter(({ there }) => !there).map(({ path }) => path);
    return { folder, refuses: null, foreign: false, missingKeys };
  }
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') {
      return null;
    }
    throw error;
  });
  if (files === null) {
    // Made by `up`, below a folder that was looked at.
    return { folder, refuses: null, foreign: false, missingKeys: [] };
  }
  const { uid } = await stat(folder);
  const foreign = !isPortals(uid) && files.some((name) => name !== 'lost+found');
  return { folder, refuses: await writeRefusal(folder), foreign, missingKeys: [] };
}

/** What stands against a start, a sentence each. */
export function backupProblems({ folder, refuses, foreign, missingKeys }: BackupFacts): string[] {
  if (folder === null) {
    return missingKeys.map(
      (path) => `${path} is missing. AVIARY_BACKUP_URL names an S3 server: put that part of its access key there.`,
    );
  }
  const found: string[] = [];
  if (refuses !== null) {
    found.push(
      `Nothing can be written to the backup folder ${folder} (${refuses}). Mend that, or set AVIARY_BACKUP_URL in .env to another folder.`,
    );
  }
  if (foreign) {
    found.push(
      `The backup folder ${folder} holds files of another user. Set AVIARY_BACKUP_URL in .env to a folder of its own.`,
    );
  }
  return found;
}

const NAME = 'backups';

/** `space` of a folder, `status` of what an S3 server answered to somebody without a key: 403 is as good as 200. */
export function backupCheck(
  url: string,
  facts: BackupFacts,
  seen: { space: Space } | { status: number | null; why: string },
): Check {
  const [problem] = backupProblems(facts);
  if (problem !== undefined) {
    return { name: NAME, state: 'bad', says: problem, todo: 'Until then nothing is backed up.' };
  }
  if ('space' in seen) {
    return diskCheck(NAME, facts.folder ?? url, seen.space);
  }
  if (seen.status === null || seen.status >= 500) {
    return {
      name: NAME,
      state: 'bad',
      says: `${url} does not answer: ${seen.status ?? seen.why}`,
      todo: 'Look at the S3 server and the way there; until then nothing is backed up.',
    };
  }
  return { name: NAME, state: 'ok', says: `${url} answers` };
}

/** Whether the server of `s3:https://…` is there; not whether its keys are right, which only their user finds. */
export async function s3Answer(url: string): Promise<{ status: number | null; why: string }> {
  try {
    const { status } = await fetch(url.slice('s3:'.length), {
      method: 'HEAD',
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status, why: '' };
  } catch (error) {
    const { message, cause } = error as { message: string; cause?: { message?: string } };
    return { status: null, why: cause?.message ?? message };
  }
}
