import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '#libs/async';

const ENDING_MS = 5_000;

/** What there is, once nothing of it goes away any more by itself. */
export function none<T>(ask: () => Promise<T[]>, deadlineMs = ENDING_MS): Promise<T[]> {
  return waitFor(async () => ((await ask()).length === 0 ? [] : undefined), { what: 'none', deadlineMs }).catch(ask);
}

/** Those that count: what a killed restic wrote halfway has another name and is none. */
export const locksIn = async (repository: string): Promise<string[]> =>
  (await readdir(join(repository, 'locks'))).filter((name) => !name.includes('-tmp-'));

/** Files that restic was killed over: it writes under another name and renames. */
export const halfWritten = async (repository: string): Promise<string[]> =>
  (await readdir(repository, { recursive: true })).filter((name) => name.includes('-tmp-'));

/** Runs a restic of the repository, with that command; rejects where it ends otherwise than well. */
export type OwnRestic = (...command: string[]) => Promise<{ stdout: string; stderr: string }>;

/** What restic itself finds wrong by reading all data, and after a prune what it would still remove. */
export async function wrongIn(restic: OwnRestic, { pruned }: { pruned: boolean }): Promise<string[]> {
  try {
    const { stdout, stderr } = await restic('check', '--read-data');
    if (!stdout.includes('no errors were found')) {
      return [`restic check: ${stdout}${stderr}`];
    }
    if (!pruned) {
      return [];
    }
    const told = (await restic('prune', '--dry-run')).stdout;
    const left = /^to delete: *(.*)$/m.exec(told)?.[1];
    return left?.endsWith(' / 0 B') ? [] : [`what nothing needs: ${left ?? told}`];
  } catch (error) {
    return [`restic: ${String(error)}`];
  }
}
