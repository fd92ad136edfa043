import { PortalBackups, PortalRepository, type PortalBackupDeps, type PortalServer } from '#libs/backup';
import type { Database } from '#libs/db';
import type { MasterKeys } from '#libs/keys';
import type { ResticSettings } from '#libs/restic';
import { createLogger } from '#libs/telemetry';

/** Repositories in folders below that one. */
export function portalRepositoryIn(folder: string, restic: ResticSettings, masters: MasterKeys): PortalRepository {
  return new PortalRepository({
    masters,
    places: { restic, repository: (name, password) => Promise.resolve({ url: `${folder}/${name}`, password }) },
  });
}

/** As an agent has them; `change` is what the test has otherwise. */
export function portalBackups(
  parts: { database: Database; server: PortalServer; repository: PortalRepository; masters: MasterKeys },
  change: Partial<PortalBackupDeps> & Pick<PortalBackupDeps, 'platformId'>,
): PortalBackups {
  return new PortalBackups({
    ...parts,
    image: 'aviary/portal:test',
    settings: { AVIARY_PORTAL_DOMAIN: 'portal.example.org' },
    secrets: ['AVIARY_SMTP_URL'],
    zone: 'UTC',
    room: () => Promise.resolve({ freeMb: 1_000_000, floorMb: 2_048 }),
    prove: () => Promise.resolve(),
    logger: createLogger('test', 'silent'),
    now: () => new Date(),
    ...change,
  });
}
