import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PemPair } from '#libs/crypto';

/** Served by the proxy: the portal's pair and that of the tenants' wildcard. */
export const CERTIFICATES = ['portal', 'tenants'] as const;
export type CertificateName = (typeof CERTIFICATES)[number];

/** The proxy reads keys as a member of the agent's group; the authority's key is for its owner alone. */
export const MODE = { public: 0o644, servedKey: 0o640, secret: 0o600 } as const;

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

/** Whole or not at all, with its mode from the first byte on. */
export async function writeWhole(path: string, content: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    await writeFile(temporary, content, { flag: 'wx', mode });
    // The process's umask may have taken bits from the mode.
    await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

export async function readPair(directory: string, name: string): Promise<PemPair | null> {
  const certificate = await readText(join(directory, `${name}.crt`));
  const key = await readText(join(directory, `${name}.key`));
  return certificate !== null && key !== null ? { certificate, key } : null;
}

/** Puts a pair in place; false when it is there already. */
export async function servePair(directory: string, name: string, pair: PemPair): Promise<boolean> {
  const served = await readPair(directory, name);
  if (served?.certificate === pair.certificate && served.key === pair.key) {
    return false;
  }
  await writeWhole(join(directory, `${name}.key`), pair.key, MODE.servedKey);
  await writeWhole(join(directory, `${name}.crt`), pair.certificate, MODE.public);
  return true;
}
