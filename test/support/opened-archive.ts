import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { backupTool } from './backup-tools.js';

/**
 * Opens an archive as its owner would, with the program age, which asks a terminal for the passphrase, and tar. Gives
 * what age said; where it failed, `folder` is empty.
 */
export async function openArchive(
  file: string,
  passphrase: string,
  folder: string,
): Promise<{ code: number | null; said: string }> {
  const tar = `${folder}.tar`;
  const age = spawn('script', ['-qec', `'${backupTool('age')}' --decrypt --output '${tar}' '${file}'`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  let asked = false;
  age.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (!asked && /passphrase/i.test(said)) {
      asked = true;
      age.stdin.write(`${passphrase}\n`);
    }
  });
  const [code] = (await once(age, 'close')) as [number | null];
  await mkdir(folder, { recursive: true });
  if (code === 0) {
    await promisify(execFile)('tar', ['-xf', tar, '-C', folder, '--strip-components=1']);
  }
  await rm(tar, { force: true });
  return { code, said };
}
