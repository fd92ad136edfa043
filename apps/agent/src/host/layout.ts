import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SERVED_FILE } from '#libs/edge';
import { backupFolder, s3KeyFiles } from './backup-place.js';
import { readText, writeWhole } from './files.js';
import { KEY_FOLDER, ownKeyFiles } from './master-key.js';
import { writeServiceFiles } from './portal-secrets.js';
import { PORTAL, STORES, takeOver } from './portal-user.js';
import type { HostConfig, Platform } from './settings.js';

/** In the data folder: the pool that the portal's network, and so every stack's, was taken from. */
export const POOL_RECORD = 'address-pool';

interface Folder {
  name: string;
  owner: number;
  mode: number;
}

/** The data folder. Everything the agent writes belongs to it; what it may not change belongs to root. */
const FOLDERS: readonly Folder[] = [
  { name: '', owner: 0, mode: 0o755 },
  { name: 'routes', owner: PORTAL, mode: 0o750 },
  { name: 'certs', owner: PORTAL, mode: 0o750 },
  { name: 'ca', owner: PORTAL, mode: 0o700 },
  { name: 'gate', owner: PORTAL, mode: 0o700 },
  { name: 'agent', owner: PORTAL, mode: 0o700 },
  { name: 'acme', owner: PORTAL, mode: 0o700 },
  { name: 'quarantine', owner: PORTAL, mode: 0o700 },
  { name: 'backups', owner: PORTAL, mode: 0o700 },
  { name: 's3', owner: PORTAL, mode: 0o700 },
  { name: KEY_FOLDER, owner: PORTAL, mode: 0o700 },
  { name: 'restic', owner: PORTAL, mode: 0o700 },
  { name: 'firewall', owner: 0, mode: 0o755 },
  { name: 'traefik', owner: 0, mode: 0o755 },
  { name: 'postgres', owner: 0, mode: 0o755 },
  { name: 'secrets', owner: 0, mode: 0o711 },
  { name: 'bin', owner: 0, mode: 0o755 },
];

export async function makeFolders(config: HostConfig): Promise<void> {
  const backups = backupFolder(config);
  for (const { path, owner, mode } of [
    ...FOLDERS.map(({ name, ...folder }) => ({ path: join(config.DATA_DIR, name), ...folder })),
    ...(backups === null ? [] : [{ path: backups, owner: PORTAL, mode: 0o700 }]),
  ]) {
    await mkdir(path, { recursive: true });
    if (owner === PORTAL) {
      await takeOver(path);
    }
    await chown(path, owner, owner);
    await chmod(path, mode);
  }
}

/** Fills `${NAME}`; an unknown name is a mistake in the template. */
export function fill(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replace(/\$\{([A-Z_]+)\}/g, (_whole, name: string) => {
    const value = values[name];
    if (value === undefined) {
      throw new Error(`The template names ${name}, which has no value`);
    }
    return String(value);
  });
}

/** The proxy's static configuration, as the sources and settings have it. */
export async function proxySettings({ config }: Pick<Platform, 'config'>, repository: string): Promise<string> {
  const template = await readText(join(repository, 'traefik/traefik.yml'));
  const { HTTP_PORT, HTTPS_PORT, PROXY_PORT } = config;
  return fill(template ?? '', { HTTP_PORT, HTTPS_PORT, PROXY_PORT });
}

/** Files the portal's containers are given. */
export async function writePlatformFiles(platform: Platform, repository: string): Promise<void> {
  const { config } = platform;
  const at = (...path: string[]): string => join(config.DATA_DIR, ...path);
  await writeWhole(at('platform'), `${platform.id}\n`, { mode: 0o644 });
  await writeServiceFiles(platform);
  await ownKeyFiles(config);
  // Postgres wants a name for the user it runs as, and no image knows this one; by the name it lets its own user in.
  await writeWhole(
    at('postgres', 'passwd'),
    `root:x:0:0:root:/root:/bin/sh\npostgres:x:${STORES.postgres}:${STORES.postgres}::/var/lib/postgresql:/bin/sh\n`,
    { mode: 0o644 },
  );
  if (backupFolder(config) === null) {
    // A person put them there; the agent alone reads them.
    for (const path of s3KeyFiles(config)) {
      await chown(path, PORTAL, PORTAL);
      await chmod(path, 0o400);
    }
  }
  // Traefik does not start to watch a file that is not there; what is in it the agent says.
  if ((await readText(at('routes', SERVED_FILE))) === null) {
    await writeWhole(at('routes', SERVED_FILE), '{}\n', { mode: 0o644, owner: PORTAL });
  }
  await writeWhole(at('traefik', 'traefik.yml'), await proxySettings(platform, repository), { mode: 0o644 });
}
