import { createServer } from 'node:net';
import { readFile, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { EngineFacts } from './engine-facts.js';
import { apiProblem, engineFacts, ownObjects } from './engine-facts.js';
import { conflictingRoutes, networkText, parseNetwork, parseRoutes, type Route } from './networks.js';
import type { Platform } from './settings.js';
import { readText } from './settings.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** The portal's seven containers use about 700 MiB; below this the engine starts to kill what it should keep. */
export const LEAST_MEMORY = 1536 * MIB;
/** Images are 2 GiB; building Traefik, where no registry serves it, needs 5 more for a while. */
export const LEAST_DISK = 8 * GIB;
/** Once everything is there, only data grows. */
export const LEAST_DISK_LATER = 1 * GIB;

export interface HostFacts {
  engine: EngineFacts;
  memory: { total: number; available: number };
  /** Free bytes by what lies there. */
  disk: { engine: number; data: number };
  routes: readonly Route[];
  /** Of the ports we need, those somebody else listens on. */
  takenPorts: readonly number[];
  /** Id of the platform the data folder belongs to, or null. */
  dataOwner: string | null;
  /** Our own proxy runs, so this is not the first start. */
  running: boolean;
}

/** Everything that stands against a start, a sentence each. Pure: the facts come from `hostFacts`. */
export function problems(platform: Platform, facts: HostFacts): string[] {
  const { config } = platform;
  const found: string[] = [];
  const api = apiProblem(facts.engine);
  if (api) {
    found.push(api);
  }
  for (const port of facts.takenPorts) {
    found.push(
      `Port ${port} is taken by another program. Stop it, or set ${portSetting(platform, port)} in .env to a free port.`,
    );
  }
  if (new Set([config.HTTP_PORT, config.HTTPS_PORT, config.PROXY_PORT]).size < 3) {
    found.push('AVIARY_HTTP_PORT, AVIARY_HTTPS_PORT and AVIARY_PROXY_PORT must differ.');
  }
  if (facts.memory.total < LEAST_MEMORY) {
    found.push(`This machine has ${gib(facts.memory.total)} GiB of memory; ${gib(LEAST_MEMORY)} GiB are needed.`);
  }
  const least = facts.running ? LEAST_DISK_LATER : LEAST_DISK;
  for (const [what, free] of [
    [`the engine's folder ${facts.engine.dataRoot}`, facts.disk.engine],
    [`the data folder ${config.DATA_DIR}`, facts.disk.data],
  ] as const) {
    if (free < least) {
      found.push(`Only ${gib(free)} GiB are free for ${what}; ${gib(least)} GiB are needed.`);
    }
  }
  for (const route of conflictingRoutes(parseNetwork(config.ADDRESS_POOL), facts.routes, platform.prefix)) {
    found.push(
      `AVIARY_ADDRESS_POOL ${config.ADDRESS_POOL} overlaps ${networkText(route)}, which this host reaches through ${route.interface}. Set another private network in .env.`,
    );
  }
  if (facts.dataOwner !== null && facts.dataOwner !== platform.id) {
    found.push(
      `The data folder ${config.DATA_DIR} belongs to platform ${facts.dataOwner}, not to ${platform.id}. Put its .env back, or set AVIARY_DATA_DIR to an empty folder.`,
    );
  }
  if (config.TLS_MODE === 'acme' && (config.ACME_EMAIL === '' || config.ACME_DNS_PROVIDER === '')) {
    found.push('AVIARY_TLS_MODE=acme needs AVIARY_ACME_EMAIL and AVIARY_ACME_DNS_PROVIDER in .env.');
  }
  return found;
}

const gib = (bytes: number): string => (bytes / GIB).toFixed(1);

function portSetting({ config }: Platform, port: number): string {
  return port === config.HTTP_PORT
    ? 'AVIARY_HTTP_PORT'
    : port === config.HTTPS_PORT
      ? 'AVIARY_HTTPS_PORT'
      : 'AVIARY_PROXY_PORT';
}

/** True when nobody else listens. Asked by listening there for a moment, on every address. */
export async function portIsFree(port: number, host: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  return promise;
}

/** Free bytes where `path` is, or will be. */
async function freeBytes(path: string): Promise<number> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || at === '/') {
        throw error;
      }
    }
  }
}

export function parseMemory(meminfo: string): { total: number; available: number } {
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
  return { total: of('MemTotal'), available: of('MemAvailable') };
}

export async function hostFacts(platform: Platform): Promise<HostFacts> {
  const { config } = platform;
  const engine = await engineFacts();
  const running = (await ownObjects('container', platform.id, ['label=aviary.role=portal', 'status=running'])).includes(
    `aviary-${platform.prefix}-traefik`,
  );
  const wanted: [number, string][] = [
    [config.HTTP_PORT, '0.0.0.0'],
    [config.HTTPS_PORT, '0.0.0.0'],
    [config.PROXY_PORT, '127.0.0.1'],
  ];
  const takenPorts: number[] = [];
  for (const [port, host] of running ? [] : wanted) {
    if (!(await portIsFree(port, host))) {
      takenPorts.push(port);
    }
  }
  return {
    engine,
    memory: parseMemory(await readFile('/proc/meminfo', 'utf8')),
    // This container's own root lies in the engine's folder, whose file system therefore answers for it.
    disk: { engine: await freeBytes('/'), data: await freeBytes(config.DATA_DIR) },
    routes: parseRoutes(await readFile('/proc/net/route', 'utf8')),
    takenPorts,
    dataOwner: (await readText(`${config.DATA_DIR}/platform`))?.trim() ?? null,
    running,
  };
}
