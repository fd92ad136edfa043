import type { BackupState } from '#libs/contracts';
import { BackupEntity, newId, TenantEntity, type Database } from '#libs/db';

const table = (name: string, rows: number) => ({ schema: 'public', name, rows });

/** The row of a backup as an agent writes it, of an operation that is over unless one is named. Its id. */
export async function insertBackup(
  database: Database,
  { id: tenantId }: { id: string },
  state: BackupState,
  {
    operationId = newId(),
    at = new Date(),
    reason = 'manual',
    error = null,
    fills = 40,
    bots = 2,
  }: {
    operationId?: string;
    at?: Date;
    fills?: number;
    bots?: number;
    reason?: BackupEntity['reason'];
    error?: BackupEntity['error'];
  } = {},
): Promise<string> {
  const id = newId();
  const { releaseId } = await database.manager.findOneByOrFail(TenantEntity, { id: tenantId });
  const reached = (...states: BackupState[]): Date | null => (states.includes(state) ? at : null);
  const written = state !== 'taking' && state !== 'failed';
  await database.manager.insert(BackupEntity, {
    id,
    tenantId,
    operationId,
    state,
    reason,
    releaseId,
    begunAt: at,
    takenAt: reached('dumped', 'stored', 'verified'),
    dumpedAt: reached('dumped', 'stored', 'verified'),
    storedAt: reached('stored', 'verified'),
    verifiedAt: reached('verified'),
    parts: written
      ? [
          { name: 'postgres.dump', snapshotId: 'a', bytes: 4_000_000, addedBytes: 900_000, sha256: '00' },
          { name: 'manifest.json', snapshotId: 'b', bytes: 200, addedBytes: 100, sha256: '00' },
        ]
      : [],
    manifest: written
      ? { version: 1, databases: [{ tables: [table('fills', fills), table('bots', bots)] }], volumes: [] }
      : null,
    error,
  });
  return id;
}
