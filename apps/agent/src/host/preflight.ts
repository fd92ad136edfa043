import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:net';
import { readFile, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { backupFacts, backupProblems, type BackupFacts } from './backup-place.js';
import type { EngineFacts } from './engine-facts.js';
import { apiProblem, engineFacts, engineSkewSeconds, ownObjects } from './engine-facts.js';
import { conflictingRoutes, networkText, parseNetwork, parseRoutes, type Route } from './networks.js';
import { readText, writeRefusal } from './files.js';
import { POOL_RECORD } from './layout.js';
import type { Platform } from './settings.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** Once everything is there, only data grows. */
const LEAST_DISK_LATER = 1 * GIB;
/** No clock that is right reads earlier: this release was made then. */
const RELEASED = new Date('2026-11-21T00:00:00Z');
/** Signatures between the platform's processes live for 60 s. */
const MOST_SKEW_SECONDS = 20;

export interface HostFacts {
  engine: EngineFacts;
  memory: { total: number; available: number };
  /** Free bytes by what lies there. */
  disk: { engine: number; data: number };
  routes: readonly Route[];
  /** Of the ports we need, those somebody else listens on. */
  takenPorts: readonly number[];
  /** Why nothing can be written to the data folder, or null. */
  dataRefuses: string | null;
  backups: BackupFacts;
  clock: {
    now: Date;
    /** How far the engine's clock is ahead. */
    skewSeconds: number;
    /** When this platform's own certificates were made, if they were. */
    certified: Date | null;
  };
  /** Id of the platform the data folder belongs to, or null. */
  dataOwner: string | null;
  /** The pool of the last `up`, or null before the first, and whether anything of a stack is on the engine. */
  pool: { recorded: string | null; inUse: boolean };
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
  const memory = config.LEAST_MEMORY_MB * MIB;
  if (facts.memory.total < memory) {
    found.push(
      `This machine has ${gib(facts.memory.total)} GiB of memory; ${gib(memory)} GiB are needed (AVIARY_LEAST_MEMORY_MB).`,
    );
  }
  if (facts.dataRefuses !== null) {
    found.push(
      `Nothing can be written to the data folder ${config.DATA_DIR} (${facts.dataRefuses}). Mend that, or set AVIARY_DATA_DIR in .env to another folder.`,
    );
  }
  found.push(...backupProblems(facts.backups));
  const first = config.LEAST_DISK_GB * GIB;
  const least = facts.running ? Math.min(first, LEAST_DISK_LATER) : first;
  for (const [what, free] of [
    [`the engine's folder ${facts.engine.dataRoot}`, facts.disk.engine],
    [`the data folder ${config.DATA_DIR}`, facts.disk.data],
  ] as const) {
    if (free < least) {
      found.push(`Only ${gib(free)} GiB are free for ${what}; ${gib(least)} GiB are needed (AVIARY_LEAST_DISK_GB).`);
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
  const { recorded, inUse } = facts.pool;
  if (recorded !== null && recorded !== config.ADDRESS_POOL && inUse) {
    found.push(
      `AVIARY_ADDRESS_POOL is ${config.ADDRESS_POOL}, and the stacks of this platform have addresses of ${recorded}. Put it back in .env: the pool can only be changed before the first stack is made.`,
    );
  }
  const clock = clockProblem(facts.clock);
  return clock === null ? found : [...found, clock];
}

/** A clock far behind makes every certificate one of the future; one apart from the engine's makes signatures old. */
function clockProblem({ now, skewSeconds, certified }: HostFacts['clock']): string | null {
  const set = 'Set the clock (timedatectl set-ntp true) and run scripts/up again.';
  if (now < RELEASED) {
    return `This machine's clock reads ${now.toISOString()}, before this release was made. ${set}`;
  }
  if (certified !== null && now < certified) {
    return `This machine's clock reads ${now.toISOString()}, before this platform's certificates were made (${certified.toISOString()}). ${set}`;
  }
  return Math.abs(skewSeconds) > MOST_SKEW_SECONDS
    ? `The clocks of this machine and its engine differ by ${Math.round(Math.abs(skewSeconds))} s; ${MOST_SKEW_SECONDS} s are the most. ${set}`
    : null;
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

async function certifiedAt(dataDir: string): Promise<Date | null> {
  const pem = await readText(join(dataDir, 'certs/portal.crt'));
  return pem === null ? null : new X509Certificate(pem).validFromDate;
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

/** Ports the proxy was told to listen on by the file the last `up` wrote for it. */
export function proxyPorts(traefikYaml: string): number[] {
  return [...traefikYaml.matchAll(/^\s+address: '[^':]*:(\d+)'$/gm)].map(([, port]) => Number(port));
}

/** Also after `down`, which leaves networks and volumes where they are. Bridges that stacks share outlive the last one. */
async function hasStacks({ id, prefix }: Platform): Promise<boolean> {
  const ofTenants = ['label=aviary.tenant'];
  const [containers, volumes, networks] = await Promise.all([
    ownObjects('container', id, ofTenants),
    ownObjects('volume', id, ofTenants),
    ownObjects('network', id),
  ]);
  return [...containers, ...volumes, ...networks.filter((name) => name !== `aviary-${prefix}-portal`)].length > 0;
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
  const own = running ? proxyPorts((await readText(join(config.DATA_DIR, 'traefik/traefik.yml'))) ?? '') : [];
  const takenPorts: number[] = [];
  for (const [port, host] of wanted) {
    if (!own.includes(port) && !(await portIsFree(port, host))) {
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
    dataRefuses: await writeRefusal(config.DATA_DIR),
    backups: await backupFacts(config),
    clock: {
      now: new Date(),
      skewSeconds: await engineSkewSeconds(),
      certified: await certifiedAt(config.DATA_DIR),
    },
    dataOwner: (await readText(`${config.DATA_DIR}/platform`))?.trim() ?? null,
    pool: {
      recorded: (await readText(join(config.DATA_DIR, POOL_RECORD)))?.trim() ?? null,
      inUse: await hasStacks(platform),
    },
    running,
  };
}
