import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readText, writeWhole } from './files.js';
import { portalRows } from './portal-database.js';
import { run } from './run-command.js';
import type { Platform } from './settings.js';
import { say } from './talk.js';

/** Containers of stacks that `down` stopped, a name a line. */
const noteFile = (dataDir: string): string => join(dataDir, 'stopped-by-down');

async function readNote(dataDir: string): Promise<string[]> {
  return (await readText(noteFile(dataDir)))?.split('\n').filter(Boolean) ?? [];
}

/** Adds to what an earlier `down` wrote that no `up` has started yet. */
export async function noteStopped(dataDir: string, names: readonly string[]): Promise<void> {
  const all = new Set([...(await readNote(dataDir)), ...names]);
  if (all.size > 0) {
    await writeWhole(noteFile(dataDir), `${[...all].join('\n')}\n`, { mode: 0o644 });
  }
}

export interface StackContainer {
  name: string;
  tenant: string;
  state: string;
}

/**
 * Names on the note still to be started: what is gone since is forgotten, and so is what its owner wants stopped, be it
 * said after the note was written.
 */
export function stillToStart(
  note: readonly string[],
  containers: readonly StackContainer[],
  wanted: ReadonlySet<string>,
): string[] {
  const there = new Map(containers.map((container) => [container.name, container]));
  return note.filter((name) => {
    const container = there.get(name);
    return container !== undefined && container.state !== 'running' && wanted.has(container.tenant);
  });
}

async function stackContainers({ id }: Platform): Promise<StackContainer[]> {
  const text = await run('docker', [
    'ps',
    '-a',
    '--filter',
    `label=aviary.platform=${id}`,
    '--filter',
    'label=aviary.tenant',
    '--format',
    '{{.Names}}\t{{.Label "aviary.tenant"}}\t{{.State}}',
  ]);
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [name = '', tenant = '', state = ''] = line.split('\t');
      return { name, tenant, state };
    });
}

/** Stacks whose owner wants them running and which nothing holds back. */
async function wantedTenants(platform: Platform): Promise<Set<string>> {
  const rows = await portalRows(
    platform,
    `select id from tenants t where desired = 'running' and not exists (select from holds h where h.tenant_id = t.id)`,
  );
  return new Set(rows.map(([id]) => id ?? ''));
}

/**
 * Starts what `down` stopped. Gives the names that did not start; they stay on the note, so that the next `up` tries
 * them again.
 */
export async function startStopped(platform: Platform): Promise<string[]> {
  const { DATA_DIR } = platform.config;
  const note = await readNote(DATA_DIR);
  if (note.length === 0) {
    return [];
  }
  const wanted = await wantedTenants(platform);
  const names = stillToStart(note, await stackContainers(platform), wanted);
  if (names.length > 0) {
    say(`starting ${names.length} containers of stacks again`);
    await run('docker', ['start', ...names]).catch((error: unknown) =>
      say(error instanceof Error ? error.message : String(error)),
    );
  }
  const left = stillToStart(names, await stackContainers(platform), wanted);
  if (left.length > 0) {
    await writeWhole(noteFile(DATA_DIR), `${left.join('\n')}\n`, { mode: 0o644 });
  } else {
    await rm(noteFile(DATA_DIR));
  }
  return left;
}
