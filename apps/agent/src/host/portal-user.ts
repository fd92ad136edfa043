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
/** uid and gid of the portal's own stores, for the same reason: every stack's Postgres and Redis are 999. As in docker-compose.portal.yml. */
export const STORES = { postgres: 10_012, redis: 10_013 } as const;
/** What both were when they had the official images' user, as stacks' have. */
export const FORMER_STORES = 999;

/** Whether the portal made that folder, now or as the user it was. */
export const isPortals = (uid: number): boolean => uid === PORTAL || uid === FORMER_PORTAL;

interface Owners {
  own: number;
  former: readonly number[];
}

/** What was written as a former user becomes its own again; the folder itself last, so a cut run goes on. */
export async function takeOver(
  folder: string,
  { own, former }: Owners = { own: PORTAL, former: [FORMER_PORTAL] },
): Promise<void> {
  if (!former.includes((await stat(folder)).uid)) {
    return;
  }
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), own, own);
  }
  await lchown(folder, own, own);
}
