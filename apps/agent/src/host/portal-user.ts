import { lchown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * uid and gid of the portal's processes; Traefik shares the group, to read keys. No stack runs as it: what the kernel
 * counts by user (inotify, keys, pending signals) a stack must not use up for the portal, and neither may read the
 * other's environment. As in docker-compose.portal.yml and images/portal/Dockerfile.
 */
export const PORTAL = 10_011;
/** What it was when stacks' runtimes had the same. */
export const FORMER_PORTAL = 10_001;

/** Whether the portal made that folder, now or as the user it was. */
export const isPortals = (uid: number): boolean => uid === PORTAL || uid === FORMER_PORTAL;

/** What the portal wrote as the user it was becomes its own again; the folder itself last, so a cut run goes on. */
export async function takeOver(folder: string): Promise<void> {
  if ((await stat(folder)).uid !== FORMER_PORTAL) {
    return;
  }
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), PORTAL, PORTAL);
  }
  await lchown(folder, PORTAL, PORTAL);
}
