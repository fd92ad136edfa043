import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';

let folder: string | undefined;

/**
 * `restic`, `pg_dump`, `pg_restore` and `psql` as the platform's images have them, and `age`, by which people open what
 * they download; fetched at first use, by hand.
 */
export function backupTool(name: 'restic' | 'age' | 'pg_dump' | 'pg_restore' | 'psql'): string {
  const { AVIARY_TEST_RESTIC: restic, AVIARY_TEST_AGE: age, AVIARY_TEST_PG_BIN: postgres } = process.env;
  const given = name === 'restic' ? restic : name === 'age' ? age : postgres && join(postgres, name);
  if (given) {
    return given;
  }
  return join(fetched(), name);
}

/** The same programs and the server of PostgreSQL 15, the major version before those that the images have. */
export function olderPostgres(name: 'initdb' | 'postgres' | 'pg_dump' | 'pg_restore' | 'psql'): string {
  const { AVIARY_TEST_PG_BIN: postgres } = process.env;
  return join(dirname(postgres ?? fetched()), 'older', name);
}

function fetched(): string {
  folder ??= execFileSync(join(import.meta.dirname, '../../scripts/lib/backup-tools'), { encoding: 'utf8' }).trim();
  return folder;
}
