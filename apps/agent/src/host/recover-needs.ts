import { join } from 'node:path';
import type { PortalManifest } from '#libs/backup';
import { DomainError } from '#libs/contracts';
import { parseEnvFile } from './env-file.js';
import { readText } from './files.js';
import { GIVEN_SECRETS } from './portal-secrets.js';

type OfLost = Pick<PortalManifest, 'secrets'>;

/** Files that a person puts into the data folder, as `up` needs them. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  acme: ['acme/provider.env'],
  files: ['certs/supplied-portal.crt', 'certs/supplied-portal.key'],
};

/**
 * What the lost host had and no backup holds, since it is secret or a file: by the names it is given by, and left out by
 * with --without. `envText` is `.env` as it is to be, `given` what the environment adds to it.
 */
export async function lacking(
  { secrets }: OfLost,
  envText: string,
  given: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const values = new Map([...parseEnvFile(envText), ...Object.entries(given)]);
  const value = (name: string): string => values.get(name) ?? '';
  const files = FILES[value('AVIARY_TLS_MODE')] ?? [];
  const absent = await Promise.all(
    files.map(async (name) => ((await readText(join(value('AVIARY_DATA_DIR'), name))) ?? '') === ''),
  );
  return [...(secrets ?? []).filter((name) => value(name) === ''), ...files.filter((_name, index) => absent[index])];
}

/** Of a backup that does not say what was set: what may have been. */
export function perhapsLacking({ secrets }: OfLost, envText: string): string[] {
  const values = parseEnvFile(envText);
  return secrets === undefined ? GIVEN_SECRETS.filter((name) => !values.get(name)) : [];
}

/** Throws CONFIG_INVALID with all that is still to be given or left out by name. */
export function requireGiven(missing: readonly string[], without: readonly string[], dataDir: string): void {
  const left = missing.filter((name) => !without.includes(name));
  if (left.length === 0) {
    return;
  }
  const where = (name: string): string => (name.startsWith('AVIARY_') ? `${name} in .env` : join(dataDir, name));
  throw new DomainError('CONFIG_INVALID', {
    message: `The lost host had these, and no backup holds them: ${left.map(where).join(', ')}. Nothing was changed. Give them, or go on without: ${left.map((name) => `--without=${name}`).join(' ')}`,
    details: { missing: left },
  });
}
