import { createHmac } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deriveKey } from '#libs/crypto';
import { parsePool, portalSubnet } from '#libs/tenants';
import { writeWhole } from './files.js';
import { PORTAL, STORES } from './portal-user.js';
import type { Platform } from './settings.js';

/** Of `.env`: what no container has in its environment, its arguments or its labels. */
export const SECRET_VALUES = [
  'AVIARY_MASTER_KEY',
  'AVIARY_NEXT_MASTER_KEY',
  'AVIARY_SIGN_ON_SEED',
  'AVIARY_GATE_SEED',
  'AVIARY_OWNER_PASSWORD',
  'AVIARY_APP_PASSWORD',
  'AVIARY_REDIS_PASSWORD',
  'AVIARY_SMTP_URL',
  'AVIARY_HEARTBEAT_URL',
] as const;
type SecretValue = (typeof SECRET_VALUES)[number];
/** Of those, what a person gives: `up` makes none of it anew, and no backup holds it. Master keys have their own ways. */
export const GIVEN_SECRETS = ['AVIARY_SMTP_URL', 'AVIARY_HEARTBEAT_URL'] as const satisfies SecretValue[];

interface ServiceFiles {
  /** uid and gid of who reads them. */
  owner: number;
  files: Readonly<Record<string, string>>;
}

type Settings = Pick<Platform, 'config' | 'values'>;

/**
 * Of what a person may set and `up` generates, what is no secret and says nothing of where the master key is: with it
 * the portal's own backups are told how this platform was set up.
 */
export function plainSettings({ config, values }: Settings): Record<string, string> {
  const secret: ReadonlySet<string> = new Set(SECRET_VALUES);
  const names = ['AVIARY_PLATFORM_ID', ...Object.keys(config).map((name) => `AVIARY_${name}`)];
  return Object.fromEntries(
    names
      .filter((name) => !secret.has(name) && !name.includes('MASTER_KEY'))
      .map((name) => [name, values.get(name) ?? '']),
  );
}

/**
 * What each service of docker-compose.portal.yml finds in /run/secrets and no other has: its file's name and what is in
 * it, made of `.env`.
 */
export function serviceFiles({ config, values }: Settings) {
  const value = (name: SecretValue): string => values.get(name) ?? '';
  const { hosts } = portalSubnet(parsePool(config.ADDRESS_POOL));
  const database = (role: string, password: string): string =>
    `postgres://${role}:${password}@${hosts.postgres}:5432/aviary`;
  const forApp = { 'database-url': database('aviary_app', value('AVIARY_APP_PASSWORD')) };
  const redis = value('AVIARY_REDIS_PASSWORD');
  // A master key is empty, and so not set, where it comes from elsewhere than `.env`.
  const keys = { 'master-key': value('AVIARY_MASTER_KEY'), 'next-master-key': value('AVIARY_NEXT_MASTER_KEY') };
  const api = {
    owner: PORTAL,
    files: {
      ...forApp,
      'redis-url': `redis://:${redis}@${hosts.redis}:6379`,
      'sign-on-seed': value('AVIARY_SIGN_ON_SEED'),
    },
  };
  const gate = { owner: PORTAL, files: { 'gate-seed': value('AVIARY_GATE_SEED') } };
  return {
    postgres: { owner: STORES.postgres, files: { 'owner-password': value('AVIARY_OWNER_PASSWORD') } },
    redis: {
      owner: STORES.redis,
      files: {
        'redis.conf': `dir /data\nappendonly no\nsave ""\nmaxmemory 64mb\nmaxmemory-policy volatile-ttl\nrequirepass ${redis}\n`,
      },
    },
    api,
    api2: api,
    gate,
    gate2: gate,
    worker: { owner: PORTAL, files: { ...forApp, 'smtp-url': value('AVIARY_SMTP_URL') } },
    agent: {
      owner: PORTAL,
      files: {
        ...forApp,
        ...keys,
        'heartbeat-url': value('AVIARY_HEARTBEAT_URL'),
        'host-settings': JSON.stringify({
          settings: plainSettings({ config, values }),
          secrets: GIVEN_SECRETS.filter((name) => value(name) !== ''),
        }),
      },
    },
    'check-keys': { owner: PORTAL, files: { ...forApp, ...keys } },
    migrate: {
      owner: PORTAL,
      files: {
        'owner-database-url': database('aviary_owner', value('AVIARY_OWNER_PASSWORD')),
        'app-password': value('AVIARY_APP_PASSWORD'),
      },
    },
  } satisfies Record<string, ServiceFiles>;
}

/** Their containers are made anew each time. */
const ONE_OFF: ReadonlySet<string> = new Set(['migrate', 'check-keys']);

/**
 * A text for each service's label that is another when its files are, so that Compose makes the container anew: a
 * process reads them once. Keyed, since a password a person chose could be guessed from a plain hash; not with the master
 * key, which need not be here, and whose rotation would make every container anew.
 */
export function fileMarks(platform: Settings): Record<string, string> {
  const key = deriveKey(Buffer.from(platform.values.get('AVIARY_SIGN_ON_SEED') ?? '', 'base64'), 'portal-files');
  const mark = (service: string, files: ServiceFiles['files']): string =>
    createHmac('sha256', key)
      .update(JSON.stringify([service, files]))
      .digest('base64url');
  return Object.fromEntries(
    Object.entries<ServiceFiles>(serviceFiles(platform)).flatMap(([service, { files }]) =>
      ONE_OFF.has(service) ? [] : [[`AVIARY_FILES_OF_${service.toUpperCase()}`, mark(service, files)]],
    ),
  );
}

const secretsOf = ({ config }: Settings): string => join(config.DATA_DIR, 'secrets');

/** They have master keys. */
const WITH_KEYS: ReadonlySet<string> = new Set(['agent', 'check-keys']);

/**
 * A folder for each service, which its container alone is given, read-only. The agent's stays as it is: it may be the
 * last place that has the key everything is under, and the agent that runs starts again with it.
 */
export async function writeServiceFiles(platform: Settings): Promise<void> {
  await writeFolders(platform, (service) => !WITH_KEYS.has(service));
}

/** Once the keys in it were checked. */
export async function writeAgentFiles(platform: Settings): Promise<void> {
  await writeFolders(platform, (service) => service === 'agent');
}

/** What the check is given lies there while it works, however that ends; also what one left that was killed goes. */
export async function withCheckFiles(platform: Settings, work: () => Promise<void>): Promise<void> {
  try {
    await writeFolders(platform, (service) => service === 'check-keys');
    await work();
  } finally {
    await rm(join(secretsOf(platform), 'check-keys'), { recursive: true, force: true });
  }
}

async function writeFolders(platform: Settings, wanted: (service: string) => boolean): Promise<void> {
  const services = Object.entries<ServiceFiles>(serviceFiles(platform)).filter(([service]) => wanted(service));
  for (const [service, { owner, files }] of services) {
    const folder = join(secretsOf(platform), service);
    await mkdir(folder, { recursive: true });
    await chown(folder, owner, owner);
    await chmod(folder, 0o500);
    for (const [name, content] of Object.entries(files)) {
      await writeWhole(join(folder, name), content, { mode: 0o400, owner });
    }
    // What a run that was cut off left. What an earlier version gave it stays until this one is known to be well.
    for (const name of await readdir(folder)) {
      if (name.endsWith('.tmp')) {
        await rm(join(folder, name));
      }
    }
  }
}

/**
 * What earlier versions gave their services, and where Postgres and Redis had theirs before each service had a folder:
 * nothing reads it once all are made anew and nobody wants to go back.
 */
export async function removeFormerFiles(platform: Settings): Promise<void> {
  for (const [service, { files }] of Object.entries<ServiceFiles>(serviceFiles(platform))) {
    const folder = join(secretsOf(platform), service);
    for (const name of ONE_OFF.has(service) && service !== 'migrate' ? [] : await readdir(folder)) {
      if (!Object.hasOwn(files, name)) {
        await rm(join(folder, name), { recursive: true });
      }
    }
  }
  for (const name of ['owner-password', 'redis.conf']) {
    await rm(join(secretsOf(platform), name), { force: true });
  }
}
