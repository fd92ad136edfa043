import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePool, portalSubnet } from '#libs/tenants';
import { backupFolder } from './backup-place.js';
import { proxySettings } from './layout.js';
import { run } from './run-command.js';
import { keyEnvironment } from './master-key.js';
import { networkText, parseNetwork, type Route } from './networks.js';
import { fileMarks, SECRET_VALUES } from './portal-secrets.js';
import { hostResolvers } from './resolvers.js';
import type { Marks } from './roll.js';
import type { Platform } from './settings.js';

export const IMAGES = ['portal', 'runtime', 'postgres', 'redis', 'traefik'] as const;
export type ImageName = (typeof IMAGES)[number];
export type ImageReferences = Readonly<Record<ImageName, string>>;

/** Where the agent's container has the folder of backups; where they go to S3 nothing comes there. */
const BACKUPS_INSIDE = '/var/lib/aviary/backups';

/** What the host decides and no person sets. */
export interface ComposeFacts {
  images: ImageReferences;
  /** Group of the engine's socket, which the agent joins. */
  engineGroup: number;
  engineSocket: string;
  mtu: number;
  resolvers: readonly string[];
  /** The proxy's static configuration. */
  proxySettings: string;
}

/** Where the scripts mount the engine's socket into this container. */
const SOCKET = '/var/run/docker.sock';

const SECRET: ReadonlySet<string> = new Set(SECRET_VALUES);

/** Every variable docker-compose.portal.yml takes. No secret is among them: containers have those as files. */
export function composeEnvironment(platform: Platform, facts: ComposeFacts): Record<string, string> {
  const { config, prefix } = platform;
  const subnet = portalSubnet(parsePool(config.ADDRESS_POOL));
  const upperHalf = { base: parseNetwork(subnet.cidr).base + 32, prefix: 27 };
  const privileged = Math.min(config.HTTP_PORT, config.HTTPS_PORT) < 1024;
  return {
    ...Object.fromEntries([...platform.values].filter(([name]) => !SECRET.has(name))),
    ...keyEnvironment(config),
    ...fileMarks(platform),
    AVIARY_PREFIX: prefix,
    AVIARY_PORTAL_SUBNET: subnet.cidr,
    AVIARY_PORTAL_DYNAMIC: networkText(upperHalf),
    AVIARY_GATEWAY_ADDRESS: subnet.gateway,
    AVIARY_API_ADDRESS: subnet.hosts.api,
    AVIARY_API2_ADDRESS: subnet.hosts.api2,
    AVIARY_GATE_ADDRESS: subnet.hosts.gate,
    AVIARY_GATE2_ADDRESS: subnet.hosts.gate2,
    AVIARY_WORKER_ADDRESS: subnet.hosts.worker,
    AVIARY_POSTGRES_ADDRESS: subnet.hosts.postgres,
    AVIARY_REDIS_ADDRESS: subnet.hosts.redis,
    // It reads them once; there is no secret among them.
    AVIARY_FILES_OF_TRAEFIK: createHash('sha256').update(facts.proxySettings).digest('base64url'),
    AVIARY_TRAEFIK_USER: privileged ? '0' : '10002',
    AVIARY_ENGINE_GROUP: String(facts.engineGroup),
    AVIARY_ENGINE_SOCKET: facts.engineSocket,
    AVIARY_MTU: String(facts.mtu),
    AVIARY_BACKUP_DIR: backupFolder(config) ?? join(config.DATA_DIR, 'backups'),
    AVIARY_BACKUP_PLACE: backupFolder(config) === null ? config.BACKUP_URL : BACKUPS_INSIDE,
    AVIARY_RESOLVERS: facts.resolvers.join(','),
    ...Object.fromEntries(
      Object.entries(facts.images).map(([name, reference]) => [`AVIARY_IMAGE_${name.toUpperCase()}`, reference]),
    ),
  };
}

/** The MTU of the way out: a larger one inside makes large answers vanish where the path drops fragments. */
export async function outwardMtu(routes: readonly Route[]): Promise<number> {
  const out = routes.find((route) => route.prefix === 0);
  return out ? Number(await readFile(`/sys/class/net/${out.interface}/mtu`, 'utf8')) : 1500;
}

const PROJECT = 'com.docker.compose.project';

export class Compose {
  constructor(
    /** Path of the file with the services. */
    readonly file: string,
    readonly environment: Readonly<Record<string, string>>,
  ) {}

  /** Of each service that runs always: a mark that changes with anything its container is made of. */
  async wanted(): Promise<Marks> {
    const lines = await this.call(['config', '--hash', '*']);
    return marksOf(lines.split('\n').map((line) => line.trim().split(/\s+/)));
  }

  /** The same of the containers that run, as they were made. */
  async running(): Promise<Marks> {
    const lines = await run('docker', [
      'ps',
      '--filter',
      `label=${PROJECT}=aviary-${this.environment['AVIARY_PREFIX'] ?? ''}`,
      '--filter',
      'label=com.docker.compose.oneoff=False',
      '--format',
      '{{.Label "com.docker.compose.service"}}\t{{.Label "com.docker.compose.config-hash"}}',
    ]);
    return marksOf(lines.split('\n').map((line) => line.split('\t')));
  }

  /** `docker compose …` on the portal's file; what it says goes to the person when `show`. */
  async call(args: readonly string[], options: { show?: boolean; deadlineMs?: number } = {}): Promise<string> {
    return run('docker', ['compose', '--ansi', 'never', '--progress', 'quiet', '-f', this.file, ...args], {
      ...options,
      // no `.env` is read: its values come as environment, where nothing in them is expanded
      env: { ...this.environment, COMPOSE_DISABLE_ENV_FILE: '1' },
    });
  }
}

const marksOf = (rows: readonly (readonly string[])[]): Marks =>
  Object.fromEntries(rows.flatMap(([service, mark]) => (service && mark ? [[service, mark]] : [])));

/** The services as the sources have them. */
export const composeFile = (repository: string): string => join(repository, 'docker-compose.portal.yml');

/** As this host is. */
export async function composed(
  repository: string,
  platform: Platform,
  { images, routes }: { images: ImageReferences; routes: readonly Route[] },
): Promise<Compose> {
  return new Compose(
    composeFile(repository),
    composeEnvironment(platform, {
      images,
      engineGroup: (await stat(SOCKET)).gid,
      engineSocket: platform.config.ENGINE_SOCKET,
      mtu: await outwardMtu(routes),
      resolvers: hostResolvers(),
      proxySettings: await proxySettings(platform, repository),
    }),
  );
}
