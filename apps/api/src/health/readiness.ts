import { withDeadline } from '#libs/async';
import type { Database } from '#libs/db';

export interface Part {
  name: string;
  ok: boolean;
  /** Readiness does not hang on it: the platform works without, only less well. */
  optional: boolean;
}

export interface Probe {
  name: string;
  optional: boolean;
  probe: () => Promise<boolean>;
}

/** Longer than a loaded database takes for nothing, shorter than any prober waits. */
const PROBE_MS = 2_000;

/** Whether this process can do its work now. */
export class Readiness {
  constructor(private readonly probes: readonly Probe[]) {}

  async look(): Promise<{ ready: boolean; parts: Part[] }> {
    const parts = await Promise.all(
      this.probes.map(async ({ name, optional, probe }): Promise<Part> => {
        const ok = await withDeadline(name, { deadlineMs: PROBE_MS }, probe).catch(() => false);
        return { name, optional, ok };
      }),
    );
    return { ready: parts.every((part) => part.ok || part.optional), parts };
  }
}

export async function databaseAnswers(database: Database): Promise<boolean> {
  await database.query('select 1');
  return true;
}
