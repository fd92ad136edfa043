import { isDomainError } from '#libs/contracts';
import type { BackupPart } from '#libs/db';
import type { Engine } from '#libs/engine';
import type { BackupWork } from '#libs/orchestrator';
import { stackNames } from '#libs/tenants';
import type { Manifest } from './domain/manifest.js';

/** Of a service's log, at its end: more than a busy runtime says in a day. */
export const LOG_BYTES = 16 * 1024 ** 2;
/** The engine gives lines in one piece, and one may be of 16 KiB: so the first piece is small and tells how long they are. */
const FIRST_LINES = 500;
const GROWTH = 8;
const CALL_MS = 60_000;

export interface StoredLog {
  service: string;
  part: BackupPart;
}

/** The end of each service's log, where there is any. What has no container has none: the data is what a backup is for. */
export async function storeLogs(
  { facts, engine, signal }: Pick<BackupWork, 'facts' | 'engine' | 'signal'>,
  store: (name: string, text: Buffer) => Promise<BackupPart>,
): Promise<StoredLog[]> {
  const stored: StoredLog[] = [];
  for (const service of Object.keys(facts.template.services)) {
    const container = stackNames(facts.platformId, facts.slug).container(service);
    const text = await lastLines(engine, container, { signal }).catch((error: unknown) => {
      if (isDomainError(error, 'NOT_FOUND')) {
        return Buffer.alloc(0);
      }
      throw error;
    });
    // restic takes no file without a byte.
    if (text.length > 0) {
      stored.push({ service, part: await store(`${service}.log`, text) });
    }
  }
  return stored;
}

/** As a manifest has them; one without says nothing of them. */
export function manifestOfLogs(stored: readonly StoredLog[]): Pick<Manifest, 'logs'> {
  const logs = stored.map(({ service, part: { name: part, bytes, sha256 } }) => ({ service, part, bytes, sha256 }));
  return logs.length === 0 ? {} : { logs };
}

/**
 * The last lines that a container wrote, as many as are in `most` bytes at most. The engine keeps three files of 10 MB
 * and gives no piece by its bytes, so more lines are asked for until there are no more, or enough.
 */
export async function lastLines(
  engine: Pick<Engine, 'logTail'>,
  container: string,
  { signal, most = LOG_BYTES }: { signal: AbortSignal; most?: number },
): Promise<Buffer> {
  for (let asked = FIRST_LINES; ;) {
    const lines = await engine.logTail(container, asked, { deadlineMs: CALL_MS, signal });
    const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    const fitting = text.length === 0 ? asked : Math.floor((asked * most) / text.length);
    if (lines.length < asked || fitting <= asked) {
      return ending(text, most);
    }
    asked = Math.min(asked * GROWTH, fitting);
  }
}

/** Whole lines of its end. */
function ending(text: Buffer, most: number): Buffer {
  if (text.length <= most) {
    return text;
  }
  const cut = text.subarray(text.length - most);
  return cut.subarray(cut.indexOf('\n') + 1);
}
