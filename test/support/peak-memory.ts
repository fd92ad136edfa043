import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { docker } from './engine.js';

export interface PeakMemory {
  /** The most its processes held at a look: memory of their own, without files of which the kernel keeps a copy. */
  heldMib: number;
  /** The kernel's own figure since the group was made, pages of files in it; null where it keeps none. */
  groupMib: number | null;
}

const MIB = 1024 ** 2;
const LOOK_EVERY_MS = 250;
const CGROUPS = '/sys/fs/cgroup';

/** What a container and all its processes had in memory at most while that work was done. Throws where nothing tells. */
export async function memoryOf<T>(container: string, work: () => Promise<T>): Promise<[T, PeakMemory]> {
  const id = await docker('inspect', '-f', '{{.Id}}', container);
  const [made, held] = await peakOf(() => heldBy(id), work, LOOK_EVERY_MS);
  const group = await firstOf(id, ['memory.peak', 'memory.max_usage_in_bytes']);
  return [made, { heldMib: held / MIB, groupMib: group === null ? null : Number(group.trim()) / MIB }];
}

/**
 * The highest figure of those `look` gives while the work is done, the first before it is begun and the last behind its
 * end. Throws where one is missing, or is none: a peak of what nobody saw is not 0.
 */
export async function peakOf<T>(
  look: () => Promise<number | undefined>,
  work: () => Promise<T>,
  everyMs: number,
): Promise<[T, number]> {
  let peak = 0;
  const see = async (): Promise<void> => {
    const figure = await look();
    if (figure === undefined || !(figure > 0)) {
      throw new Error(`a figure of what is watched is missing: ${figure}`);
    }
    peak = Math.max(peak, figure);
  };
  await see();
  const over = new AbortController();
  const watching = (async (): Promise<void> => {
    while (!over.signal.aborted) {
      // Ended early, it only looks earlier.
      await pause(everyMs, undefined, { signal: over.signal }).catch(() => undefined);
      await see();
    }
  })();
  // What it throws is thrown below.
  watching.catch(() => undefined);
  try {
    const made = await work();
    over.abort();
    await watching;
    return [made, peak];
  } finally {
    over.abort();
  }
}

/** In bytes: `anon` of version 2 of control groups, `total_rss` of version 1. */
async function heldBy(id: string): Promise<number | undefined> {
  const [, figure] = /^(?:anon|total_rss) (\d+)$/m.exec((await firstOf(id, ['memory.stat'])) ?? '') ?? [];
  return figure === undefined ? undefined : Number(figure);
}

/** The first of those files there is: below the engine's own group or systemd's, of both versions of control groups. */
async function firstOf(id: string, names: readonly string[]): Promise<string | null> {
  for (const place of [join('docker', id), join('system.slice', `docker-${id}.scope`)]) {
    for (const path of names.flatMap((name) => [join(place, name), join('memory', place, name)])) {
      const text = await readFile(join(CGROUPS, path), 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') {
          return null;
        }
        throw error;
      });
      if (text !== null) {
        return text;
      }
    }
  }
  return null;
}
