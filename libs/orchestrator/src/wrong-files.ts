import type { Engine, EngineObjects, FileEntry } from '#libs/engine';
import { SECRETS_DIRECTORY, type StackFacts, type StackWant } from './planner/want.js';
import type { SecretFiles } from './ports.js';

const READ_MS = 20_000;

interface Looked {
  engine: Pick<Engine, 'readFiles'>;
  secrets: SecretFiles;
  facts: StackFacts;
  want: StackWant;
  objects: EngineObjects;
  signal: AbortSignal;
}

/**
 * Services whose files are not as they were delivered: other words, another mode or owner, one missing.
 * Read through the container, without running anything in it; a service without one is left out, since its files
 * are delivered before its start. Costs the engine one archive of some kilobytes for each service with files.
 */
export async function wrongFiles({ engine, secrets, facts, want, objects, signal }: Looked): Promise<Set<string>> {
  if (!want.run) {
    return new Set();
  }
  const there = new Set(objects.containers.map(({ name }) => name));
  const looked = want.containers.filter(
    ({ spec }) => there.has(spec.name) && spec.mounts.some(({ target }) => target === SECRETS_DIRECTORY),
  );
  const expected = new Map(
    (
      await secrets.volumesFor(
        facts,
        looked.map(({ service }) => service),
      )
    ).map(({ volume, files }) => [volume, files]),
  );
  const wrong = await Promise.all(
    looked.map(async ({ service, spec }) => {
      const volume = spec.mounts.find(({ target }) => target === SECRETS_DIRECTORY)?.volume ?? '';
      const found = await engine.readFiles(spec.name, SECRETS_DIRECTORY, { deadlineMs: READ_MS, signal });
      return sameFiles(expected.get(volume) ?? [], found) ? null : service;
    }),
  );
  return new Set(wrong.filter((service) => service !== null));
}

function sameFiles(expected: readonly FileEntry[], found: readonly FileEntry[]): boolean {
  const byPath = new Map(found.map((file) => [file.path, file]));
  return expected.every((file) => {
    const other = byPath.get(file.path);
    return (
      other !== undefined &&
      other.mode === file.mode &&
      other.uid === file.uid &&
      other.gid === file.gid &&
      Buffer.from(other.content as string).equals(Buffer.from(file.content as string))
    );
  });
}
