import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

let folder: string | undefined;

/** `restic`, `pg_dump`, `pg_restore` and `psql` as the platform's images have them; fetched at first use, by hand. */
export function backupTool(name: 'restic' | 'pg_dump' | 'pg_restore' | 'psql'): string {
  const given = name === 'restic' ? process.env['AVIARY_TEST_RESTIC'] : process.env['AVIARY_TEST_PG_BIN'];
  if (given) {
    return name === 'restic' ? given : join(given, name);
  }
  folder ??= execFileSync(join(import.meta.dirname, '../../scripts/lib/backup-tools'), { encoding: 'utf8' }).trim();
  return join(folder, name);
}
