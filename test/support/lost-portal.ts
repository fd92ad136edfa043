import { join } from 'node:path';
import { chooseBackup, recoverPortal, type Recovered } from '#libs/backup';
import type { Actor } from '#libs/contracts';
import type { MasterKeys } from '#libs/keys';
import { PortalBackupService } from '#libs/tenants';
import type { BackupWorld } from './backup-world.js';
import { portalServerOf } from './portal-database.js';
import { portalBackups, portalRepositoryIn } from './portal-backups.js';

const never = new AbortController().signal;
const folderOf = ({ home }: BackupWorld): string => join(home, 'repositories');

/** Backs up the portal of that world beside its stacks, which must come to its end well; gives its id. */
export async function backUpPortal(
  lost: BackupWorld,
  { operator, masters }: { operator: Actor; masters: MasterKeys },
): Promise<string> {
  const { dataSource, name: database, platformId } = lost.world.database;
  const server = await portalServerOf({ database, platformId });
  const repository = portalRepositoryIn(folderOf(lost), lost.restic, masters);
  const service = new PortalBackupService(dataSource, { overdueHours: 28 }, () => new Date());
  const { id } = await service.take(operator);
  await portalBackups({ database: dataSource, server, repository, masters }, { platformId }).turn(never);
  expect(await service.get(operator, id)).toMatchObject({ state: 'verified', error: null });
  return id;
}

/**
 * Recovers that world's portal into a database of that name, of the newest verified backup or that of the id; out of
 * the repositories in `folder`, the world's own where absent.
 */
export async function recoverPortalInto(
  lost: BackupWorld,
  { database, masters, id, folder }: { database: string; masters: MasterKeys; id: string | null; folder?: string },
): Promise<Recovered> {
  const { platformId } = lost.world.database;
  const { repository } = (await portalRepositoryIn(folder ?? folderOf(lost), lost.restic, masters).find(never))!;
  const { chosen } = await chooseBackup(repository, { id, signal: never });
  return recoverPortal({
    server: await portalServerOf({ database, platformId }),
    repository,
    backup: chosen,
    masters,
    now: new Date(),
    signal: never,
    say: () => undefined,
  });
}
