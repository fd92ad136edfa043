import { mkdir, open, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The whole text, or null where there is no such file. */
export async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return null;
    }
    throw error;
  }
}

export interface FileOptions {
  mode: number;
  /** uid and gid. */
  owner?: number;
}

/**
 * Writes whole or not at all, and only what differs; once it resolves a power cut takes nothing back. Owner and mode are
 * right from the first byte on. A link stays one: what it leads to is replaced. True when it wrote.
 */
export async function writeWhole(path: string, content: string, options: FileOptions): Promise<boolean> {
  const { mode, owner = 0 } = options;
  await mkdir(dirname(path), { recursive: true });
  const same = (await readText(path)) === content;
  const target = same ? path : await realpath(path).catch(() => path);
  const temporary = `${target}.tmp`;
  const file = await open(same ? path : temporary, same ? 'r' : 'w', 0o600);
  try {
    await file.chown(owner, owner);
    await file.chmod(mode);
    if (!same) {
      await file.writeFile(content);
      await file.sync();
      await rename(temporary, target);
    }
  } catch (error) {
    if (!same) {
      await rm(temporary, { force: true });
    }
    throw error;
  } finally {
    await file.close();
  }
  if (!same) {
    await syncFolder(dirname(target));
  }
  return !same;
}

/** A name is only as lasting as the folder it stands in. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Why a file cannot be made in the folder, or null; nothing is left behind. */
export async function writeRefusal(folder: string): Promise<string | null> {
  const probe = join(folder, '.write-probe');
  try {
    await writeFile(probe, 'x');
    await rm(probe);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
