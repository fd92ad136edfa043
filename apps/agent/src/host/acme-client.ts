import { access, chmod, constants, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readText, writeWhole } from './files.js';
import { run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal } from './talk.js';

/**
 * Puts the ACME client where the agent looks for it, out of the image that carries it. The name of that image lies
 * beside it, so the next `up` leaves it as it is until the sources name another.
 */
export async function installAcmeClient(image: string, { config, id }: Pick<Platform, 'config' | 'id'>): Promise<void> {
  const path = join(config.DATA_DIR, 'bin', 'lego');
  const mark = `${path}.image`;
  if ((await readText(mark))?.trim() === image && (await isExecutable(path))) {
    return;
  }
  const temporary = `${path}.tmp`;
  try {
    // Where the binary lies is the image's own word: the registry's image and ours need not agree.
    const [binary] = JSON.parse(
      await run('docker', ['inspect', '-f', '{{json .Config.Entrypoint}}', image]),
    ) as string[];
    const container = (await run('docker', ['create', '--label', `aviary.platform=${id}`, image])).trim();
    try {
      await run('docker', ['cp', '--follow-link', `${container}:${binary ?? ''}`, temporary]);
    } finally {
      await run('docker', ['rm', '--volumes', container]);
    }
    await chmod(temporary, 0o755);
    // This container is made from the same image as the agent's: what runs here runs there.
    await run(temporary, ['--version'], { deadlineMs: 30_000 });
    await rename(temporary, path);
    await writeWhole(mark, `${image}\n`, { mode: 0o644 });
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new Refusal([
      `AVIARY_TLS_MODE is acme, and the ACME client could not be put to ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
    ]);
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
