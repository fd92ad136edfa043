import { readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:net';
import { X509Certificate } from 'node:crypto';
import { httpsOrigin } from '#libs/config';
import { canonicalFirewall, expectedFirewall, renderFirewallReader } from '#libs/edge';
import { capacityItems, edgeCount, parsePool, tenantSubnetCount } from '#libs/tenants';
import { engineCapacity } from '../capacity.js';
import { backupCheck, backupFacts, s3Answer } from './backup-place.js';
import {
  capacityChecks,
  certificateCheck,
  clockCheck,
  diskCheck,
  engineCheck,
  firewallCheck,
  healthCheck,
  memoryCheck,
  networkCheck,
  portalCheck,
  portCheck,
  processCheck,
  type Check,
  type Space,
} from './checks.js';
import { engineFacts, engineSkewSeconds, ownObjects, type EngineFacts } from './engine-facts.js';
import { readText } from './files.js';
import { parseRoutes } from './networks.js';
import { missingProcesses, portalStatus, processHealth, SELF_REPORTING } from './portal-health.js';
import { parseMemory } from './preflight.js';
import { promisedOnEngine } from './promised.js';
import { hostResolvers } from './resolvers.js';
import { run } from './run-command.js';
import { readPlatform, type Platform } from './settings.js';
import { hostCommand, Refusal, result } from './talk.js';

const SCHEMA = 'aviary/doctor/1';
const FOUND_PROBLEMS = 8;
const CONNECT_MS = 1_000;

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function space(path: string): Promise<Space> {
  const { bavail, bfree, blocks, bsize } = await statfs(path);
  return { used: (blocks - bfree) * bsize, free: bavail * bsize };
}

async function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: '127.0.0.1', timeout: CONNECT_MS });
  socket.once('connect', () => resolve(true));
  socket.once('timeout', () => resolve(false));
  socket.once('error', () => resolve(false));
  const answer = await promise;
  socket.destroy();
  return answer;
}

/**
 * The kernel's own word: adjtimex(2) without a change returns TIME_ERROR (5) while nothing disciplines the clock. Null
 * where the call is not allowed.
 */
async function clockSynchronised(): Promise<boolean | null> {
  const ADJTIMEX_X86_64 = 159;
  const script = `my $timex = "\\0" x 256; print syscall(${ADJTIMEX_X86_64}, $timex);`;
  const state = Number(await run('perl', ['-e', script], { deadlineMs: 5_000 }).catch(() => '-1'));
  return state < 0 || Number.isNaN(state) ? null : state !== 5;
}

async function clock({ config }: Platform, now: Date): Promise<Check> {
  const pem = await readText(join(config.DATA_DIR, 'certs/portal.crt'));
  return clockCheck({
    skewSeconds: await engineSkewSeconds(),
    synchronised: await clockSynchronised(),
    notBefore: pem === null ? new Date(0) : new X509Certificate(pem).validFromDate,
    now,
  });
}

async function networks({ config, id, prefix }: Platform): Promise<Check> {
  const pool = parsePool(config.ADDRESS_POOL);
  return networkCheck(config.ADDRESS_POOL, {
    total: tenantSubnetCount(pool),
    used: (await ownObjects('network', id, ['label=aviary.tenant'])).length,
    routes: parseRoutes(await readFile('/proc/net/route', 'utf8')),
    ownPrefix: prefix,
  });
}

async function backups({ config }: Platform): Promise<Check> {
  const facts = await backupFacts(config);
  const seen = facts.folder === null ? await s3Answer(config.BACKUP_URL) : { space: await space(facts.folder) };
  return backupCheck(config.BACKUP_URL, facts, seen);
}

async function capacity({ config, id }: Platform, engine: EngineFacts): Promise<Check[]> {
  const items = capacityItems(
    await engineCapacity(engine, config),
    { ...(await promisedOnEngine(id)), diskGb: 0 },
    { subnets: tenantSubnetCount(parsePool(config.ADDRESS_POOL)), edges: edgeCount() },
  );
  // Subnets are a check of their own, and only the portal's rows know the disk of each stack.
  return capacityChecks(items.filter(({ resource }) => resource !== 'disk' && resource !== 'subnets'));
}

async function firewall({ config, prefix }: Platform): Promise<Check> {
  const expected = expectedFirewall({
    prefix,
    resolvers: hostResolvers(),
    portalPorts: [config.HTTP_PORT, config.HTTPS_PORT],
  });
  const saved = await run('/bin/sh', ['-s'], { input: renderFirewallReader(), deadlineMs: 15_000 }).catch(() => null);
  return firewallCheck(saved === null ? null : canonicalFirewall(saved, prefix), expected);
}

async function processes(platform: Platform): Promise<Check> {
  const containers = await ownObjects('container', platform.id, ['label=aviary.role=portal']);
  const restarts: Record<string, number> = {};
  for (const line of containers.length === 0
    ? []
    : (await run('docker', ['inspect', '-f', '{{.Name}} {{.RestartCount}}', ...containers])).split('\n')) {
    const [name, count] = line.split(' ');
    if (name) {
      restarts[name.replace(`/aviary-${platform.prefix}-`, '')] = Number(count);
    }
  }
  return processCheck(await missingProcesses(platform), restarts);
}

async function ports(platform: Platform): Promise<Check[]> {
  const { config } = platform;
  const proxyRuns = !(await missingProcesses(platform)).includes('traefik');
  return Promise.all(
    [config.HTTP_PORT, config.HTTPS_PORT, config.PROXY_PORT].map(async (port) => {
      const answers = await listens(port);
      return portCheck(port, answers ? (proxyRuns ? 'ours' : 'foreign') : 'silent');
    }),
  );
}

async function portal(platform: Platform): Promise<Check> {
  const address = httpsOrigin(platform.config.PORTAL_DOMAIN, platform.config.HTTPS_PORT);
  let why = '';
  const status = await portalStatus(platform, '/readyz').catch((error: unknown) => {
    why = words(error);
    return null;
  });
  return portalCheck(address, status, why);
}

/** Looks at everything, whatever of it fails; only an engine that does not answer ends it early. */
async function examine(platform: Platform, now: Date): Promise<Check[]> {
  const { config } = platform;
  const engine = await engineFacts();
  const certificate = async (name: string): Promise<Check> =>
    certificateCheck(name, await readText(join(config.DATA_DIR, `certs/${name}.crt`)), now);
  const looks: [string, () => Promise<Check | Check[]>][] = [
    // This container's own root lies in the engine's folder, whose file system therefore answers for it.
    ['disk of the engine', async () => diskCheck('disk of the engine', engine.dataRoot, await space('/'))],
    ['disk of the data', async () => diskCheck('disk of the data', config.DATA_DIR, await space(config.DATA_DIR))],
    ['backups', () => backups(platform)],
    ['memory', async () => memoryCheck(parseMemory(await readFile('/proc/meminfo', 'utf8')))],
    ['clock', () => clock(platform, now)],
    ['networks', () => networks(platform)],
    ['capacity', () => capacity(platform, engine)],
    ['firewall', () => firewall(platform)],
    ['certificate portal', () => certificate('portal')],
    ['certificate tenants', () => certificate('tenants')],
    ['ports', () => ports(platform)],
    ['processes', () => processes(platform)],
    ...SELF_REPORTING.map((name): [string, () => Promise<Check>] => [
      name,
      async () => healthCheck(name, await processHealth(platform, name)),
    ]),
    ['portal', () => portal(platform)],
  ];
  const checks = await Promise.all(
    looks.map(async ([name, look]): Promise<Check[]> => {
      try {
        return [await look()].flat();
      } catch (error) {
        return [
          { name, state: 'bad', says: words(error), todo: 'Look at what it says; run scripts/up once it is mended.' },
        ];
      }
    }),
  );
  return [engineCheck(engine), ...checks.flat()];
}

const SIGN = { ok: '✓', warn: '!', bad: '✗' } as const;

function show(checks: readonly Check[]): void {
  const width = Math.max(...checks.map(({ name }) => name.length));
  for (const { name, state, says, todo } of checks) {
    result(
      `${SIGN[state]} ${name.padEnd(width)}  ${says}${todo === undefined ? '' : `\n${' '.repeat(width + 4)}→ ${todo}`}`,
    );
  }
}

function document(checks: readonly Check[], error: { message: string; hint: string } | null, exit: number): string {
  return JSON.stringify({
    schema: SCHEMA,
    ok: exit === 0,
    data: { checks },
    error: error && { code: 'UNAVAILABLE', errorId: '', details: {}, ...error },
    exit,
  });
}

await hostCommand(async () => {
  const [repository, ...options] = process.argv.slice(2);
  if (repository === undefined) {
    throw new Refusal(['Run scripts/aviary doctor; it starts this inside the tools image.'], 2);
  }
  const json = options.includes('--json');
  try {
    const checks = await examine(await readPlatform(repository), new Date());
    const bad = checks.filter(({ state }) => state === 'bad');
    const exit = bad.length > 0 ? FOUND_PROBLEMS : 0;
    if (json) {
      const first = bad[0];
      result(
        document(
          checks,
          first
            ? {
                message: `${bad.length} of ${checks.length} checks failed: ${first.name} ${first.says}`,
                hint: first.todo ?? '',
              }
            : null,
          exit,
        ),
      );
    } else {
      show(checks);
    }
    return exit;
  } catch (error) {
    if (json && error instanceof Refusal) {
      result(document([], { message: error.sentences.join(' '), hint: 'Mend that and look again.' }, FOUND_PROBLEMS));
      return FOUND_PROBLEMS;
    }
    throw error;
  }
});
