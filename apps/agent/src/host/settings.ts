import { randomBytes, randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { givenSettings, loadConfig, type Config } from '#libs/config';
import { isDomainError, platformPrefix } from '#libs/contracts';
import { publicKeyText, signingKeyFromSeed } from '#libs/crypto';
import { parsePool } from '#libs/tenants';
import { appendMissing, parseEnvFile, type EnvEntry } from './env-file.js';
import { readText, writeWhole } from './files.js';
import { isKeptElsewhere, keyContradictions } from './master-key.js';
import { Refusal } from './talk.js';

export type HostConfig = Config<'host'>;

/** One platform on this host: what a person set and what `up` generated. */
export interface Platform {
  config: HostConfig;
  id: string;
  prefix: string;
  /** Everything of `.env`, by full name. */
  values: ReadonlyMap<string, string>;
  /** The text `.env` should have; differs from what it has when something was added. */
  envText: string;
  envFile: string;
  /** No `.env` was there, or one without a platform id. */
  isNew: boolean;
}

const COMMENTS: Partial<Record<string, string>> = {
  AVIARY_PORTAL_DOMAIN: 'Settings. Change a value and run scripts/up again.',
  AVIARY_PLATFORM_ID: 'Generated. Without these the data of this platform cannot be read: keep a copy in a safe place.',
};

const key = (): string => randomBytes(32).toString('base64');
/** URL-safe, since two of them become part of a connection address. */
const password = (): string => randomBytes(24).toString('base64url');

/**
 * Names and values `up` generates once. A public key follows its seed, so a seed restored by hand keeps its meaning. The
 * master key is left out where it is `elsewhere`, in a file or behind a command.
 */
export function generated(there: ReadonlyMap<string, string>, { elsewhere = false } = {}): EnvEntry[] {
  const value = (name: string, make: () => string): EnvEntry => ({ name, value: there.get(name) || make() });
  const publicOf = (seed: string): string => publicKeyText(signingKeyFromSeed(Buffer.from(seed, 'base64')));
  const signOn = value('AVIARY_SIGN_ON_SEED', key);
  const gate = value('AVIARY_GATE_SEED', key);
  return [
    value('AVIARY_PLATFORM_ID', randomUUID),
    ...(elsewhere ? [] : [value('AVIARY_MASTER_KEY', key)]),
    signOn,
    { name: 'AVIARY_SIGN_ON_PUBLIC_KEY', value: publicOf(signOn.value) },
    gate,
    { name: 'AVIARY_GATE_PUBLIC_KEY', value: publicOf(gate.value) },
    value('AVIARY_OWNER_PASSWORD', password),
    value('AVIARY_APP_PASSWORD', password),
    value('AVIARY_REDIS_PASSWORD', password),
  ];
}

/** Settings that are each right and together are not. */
function contradictions(config: HostConfig): string[] {
  const found: string[] = [];
  if (new Set([config.HTTP_PORT, config.HTTPS_PORT, config.PROXY_PORT]).size < 3) {
    found.push('AVIARY_HTTP_PORT, AVIARY_HTTPS_PORT and AVIARY_PROXY_PORT must differ.');
  }
  if (config.TLS_MODE === 'acme' && (config.ACME_EMAIL === '' || config.ACME_DNS_PROVIDER === '')) {
    found.push('AVIARY_TLS_MODE=acme needs AVIARY_ACME_EMAIL and AVIARY_ACME_DNS_PROVIDER in .env.');
  }
  if (config.BACKUP_URL !== '' && `${resolve(config.DATA_DIR)}/`.startsWith(`${resolve(config.BACKUP_URL)}/`)) {
    found.push('AVIARY_BACKUP_URL must be a folder of its own: this one holds the data folder.');
  }
  return found;
}

/** Settings of `.env`, completed by those given in the environment; a contradiction between the two is refused. */
export function settle(
  envText: string,
  given: Readonly<Record<string, string>>,
): { config: HostConfig; entries: EnvEntry[] } {
  const there = parseEnvFile(envText);
  const torn = Object.keys(given).filter((name) => there.has(name) && there.get(name) !== given[name]);
  if (torn.length > 0) {
    throw new Refusal(
      torn.map((name) => `${name} is set differently in .env. Change it there, or unset it here.`),
      2,
    );
  }
  let config: HostConfig;
  try {
    config = loadConfig('host', { ...Object.fromEntries(there), ...given });
    parsePool(config.ADDRESS_POOL);
  } catch (error) {
    if (isDomainError(error, 'CONFIG_INVALID')) {
      throw new Refusal([`${error.message} Correct it in .env.`], 2);
    }
    throw error;
  }
  const against = [...contradictions(config), ...keyContradictions(config, there)];
  if (against.length > 0) {
    throw new Refusal(against, 2);
  }
  const entries = Object.entries(config).map(([name, value]) => ({
    name: `AVIARY_${name}`,
    value: String(value),
  }));
  return { config, entries };
}

export async function readPlatform(repository: string): Promise<Platform> {
  const envFile = join(repository, '.env');
  const before = (await readText(envFile)) ?? '';
  const { config, entries } = settle(before, givenSettings('host'));
  const there = parseEnvFile(before);
  const elsewhere = isKeptElsewhere(config);
  if (there.has('AVIARY_PLATFORM_ID') && !there.get('AVIARY_MASTER_KEY') && !elsewhere) {
    // A new one would open nothing of what the platform has sealed.
    throw new Refusal(
      [
        'AVIARY_MASTER_KEY is gone from .env, and this platform’s secrets are sealed with it: bring it back from your copy.',
      ],
      2,
    );
  }
  const withComments = [...entries, ...generated(there, { elsewhere })].map((entry) => {
    const comment = COMMENTS[entry.name];
    return comment === undefined ? entry : { ...entry, comment };
  });
  const envText = appendMissing(before, withComments);
  const values = parseEnvFile(envText);
  const id = values.get('AVIARY_PLATFORM_ID') ?? '';
  return {
    config,
    id,
    prefix: platformPrefix(id),
    values,
    envText,
    envFile,
    isNew: !there.has('AVIARY_PLATFORM_ID'),
  };
}

/** Writes what was added. The file holds every secret of the platform, so only who runs this (root) may read it. */
export async function saveEnv({ envFile, envText }: Pick<Platform, 'envFile' | 'envText'>): Promise<boolean> {
  return writeWhole(envFile, envText, { mode: 0o600, owner: process.getuid?.() ?? 0 });
}
