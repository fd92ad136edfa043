import type { Manifest } from './manifest.js';

export interface ArchivedFile {
  name: string;
  sha256: string;
}

/** Files beside the backup's own. */
export const README = 'README.txt';
export const SUMS = 'SHA256SUMS';
export const MANIFEST_FILE = 'manifest.json';

const BLOCK = 512;

/** Bytes of a tar of files of these sizes: a header and whole blocks for each, and two blocks of zeros. */
export const tarSize = (sizes: readonly number[]): number =>
  sizes.reduce((sum, size) => sum + BLOCK + Math.ceil(size / BLOCK) * BLOCK, 2 * BLOCK);

/** As `sha256sum --check` reads it. */
export const sumsOf = (files: readonly ArchivedFile[]): string =>
  files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('');

/** What was counted, without what only says something to the platform: the figure is of sealed secrets too. */
export function manifestText({ stack: _figure, ...manifest }: Manifest): string {
  return `${JSON.stringify(manifest, null, 1)}\n`;
}

/** Tells somebody who has nothing but the archive what lies in it and how it is used. */
export function readmeText({ slug, takenAt, release, databases, volumes, logs = [] }: Manifest): string {
  const line = (name: string, what: string): string => `${name.padEnd(24)}${what}`;
  const [first] = databases;
  return [
    `A backup of the stack ${slug} (release ${release}), its data of ${takenAt}.`,
    '',
    ...databases.map(({ part, server }) => line(part, `the database, as pg_dump -Fc of PostgreSQL ${server} wrote it`)),
    ...volumes.map(({ part }) => line(part, 'files of a volume')),
    ...logs.map(({ part, service }) => line(part, `what ${service} logged last`)),
    line(MANIFEST_FILE, 'what was counted when it was taken: rows of each table, sizes, SHA-256'),
    line(SUMS, `check with: sha256sum --check ${SUMS}`),
    '',
    ...(first === undefined
      ? []
      : [
          `What is in it:           pg_restore --list ${first.part}`,
          `Into a database:         createdb mine && pg_restore --no-owner --exit-on-error --dbname=mine ${first.part}`,
          '',
        ]),
    'The stack’s own passwords and keys are not in here: they open nothing but the stack they were made for.',
    '',
  ].join('\n');
}
