import { chmod, chown, readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Config } from '#libs/config';
import { readText } from './files.js';
import { PORTAL } from './portal-user.js';

/** In the data folder: files of master keys, and what commands that fetch one need. The agent alone is given it. */
export const KEY_FOLDER = 'keys';
/** Where its container has that folder, and what `.env` says itself. */
const INSIDE = '/var/lib/aviary/keys';
const OF_ENV = '/run/secrets';

type KeyConfig = Pick<
  Config<'host'>,
  'DATA_DIR' | 'MASTER_KEY_FILE' | 'MASTER_KEY_COMMAND' | 'NEXT_MASTER_KEY_FILE' | 'NEXT_MASTER_KEY_COMMAND'
>;

/** Each master key by its variable, the ways it may be given beside the variable itself, and its file made of `.env`. */
const KEYS = [
  ['AVIARY_MASTER_KEY', 'MASTER_KEY_FILE', 'MASTER_KEY_COMMAND', 'master-key'],
  ['AVIARY_NEXT_MASTER_KEY', 'NEXT_MASTER_KEY_FILE', 'NEXT_MASTER_KEY_COMMAND', 'next-master-key'],
] as const;

/** Below the folder, without a way out of it; null for any other path. */
function below(config: KeyConfig, path: string): string | null {
  const name = relative(join(config.DATA_DIR, KEY_FOLDER), path);
  return /^[\w.-]+(\/[\w.-]+)*$/.test(name) && !name.split('/').includes('..') ? name : null;
}

/** What of the ways to give master keys is contradictory, a sentence each; `there` is what `.env` says. */
export function keyContradictions(config: KeyConfig, there: ReadonlyMap<string, string>): string[] {
  return KEYS.flatMap(([variable, file, command]) => {
    const given = [there.get(variable) ?? '', config[file], config[command]].filter((value) => value !== '');
    const found: string[] = [];
    if (given.length > 1) {
      found.push(`Of ${variable}, ${variable}_FILE and ${variable}_COMMAND only one may be set in .env.`);
    }
    if (config[file] !== '' && below(config, config[file]) === null) {
      found.push(
        `${variable}_FILE must be a file in ${join(config.DATA_DIR, KEY_FOLDER)}: the agent is given no other.`,
      );
    }
    return found;
  });
}

/** Whether the master key comes from elsewhere than `.env`. */
export function isKeptElsewhere(config: Pick<KeyConfig, 'MASTER_KEY_FILE' | 'MASTER_KEY_COMMAND'>): boolean {
  return config.MASTER_KEY_FILE !== '' || config.MASTER_KEY_COMMAND !== '';
}

/** What the agent's container is told: paths and commands, and no key. */
export function keyEnvironment(config: KeyConfig): Record<string, string> {
  return Object.fromEntries(
    KEYS.flatMap(([variable, file, command, ofEnv]) => [
      [
        `${variable}_FILE`,
        config[file] === '' ? join(OF_ENV, ofEnv) : join(INSIDE, below(config, config[file]) ?? 'nowhere'),
      ],
      [`${variable}_COMMAND`, config[command]],
    ]),
  );
}

/** Files that are named and not there, a sentence each. */
export async function missingKeyFiles(config: KeyConfig): Promise<string[]> {
  const files = KEYS.flatMap(([variable, file]) => (config[file] === '' ? [] : [[variable, config[file]] as const]));
  const missing = await Promise.all(
    files.map(async ([variable, path]) =>
      ((await readText(path)) ?? '').trim() === ''
        ? [`${path} is missing or empty, which ${variable}_FILE names.`]
        : [],
    ),
  );
  return missing.flat();
}

/** A person put them there; the agent alone reads them. */
export async function ownKeyFiles({ DATA_DIR }: Pick<KeyConfig, 'DATA_DIR'>): Promise<void> {
  const folder = join(DATA_DIR, KEY_FOLDER);
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    const is = await stat(path);
    await chown(path, PORTAL, PORTAL);
    await chmod(path, is.isDirectory() ? 0o500 : 0o400);
  }
}
