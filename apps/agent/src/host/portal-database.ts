import { run } from './run-command.js';
import type { Platform } from './settings.js';

const QUERY_MS = 30_000;

/**
 * Rows of one statement, asked inside the database's own container: the host itself has no way in. For what no
 * process answers; values are ids and words, never secrets.
 */
export async function portalRows({ prefix }: Pick<Platform, 'prefix'>, statement: string): Promise<string[][]> {
  const psql = ['psql', '-X', '-U', 'aviary_owner', '-d', 'aviary', '-v', 'ON_ERROR_STOP=1', '-At', '-F', '\t'];
  const text = await run('docker', ['exec', `aviary-${prefix}-postgres`, ...psql, '-c', statement], {
    deadlineMs: QUERY_MS,
  });
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('\t'));
}
