import { X509Certificate } from 'node:crypto';
import type { CapacityItem } from '#libs/contracts';
import { apiProblem, type EngineFacts } from './engine-facts.js';
import { conflictingRoutes, networkText, parseNetwork, type Route } from './networks.js';

/** What `doctor` says about one thing. `todo` stands with everything that is not well. */
export interface Check {
  name: string;
  state: 'ok' | 'warn' | 'bad';
  says: string;
  todo?: string;
}

const ok = (name: string, says: string): Check => ({ name, state: 'ok', says });
const found = (name: string, state: 'warn' | 'bad', says: string, todo: string): Check => ({ name, state, says, todo });

const GIB = 1024 ** 3;
const DAY_MS = 86_400_000;
/** Shares of a disk in use: time to act, and time at which Postgres may stop at any moment. */
const DISK = { warn: 0.85, bad: 0.95 };
/** Shares of memory still to be had. */
const MEMORY = { warn: 0.1, bad: 0.04 };
/** Certificates are renewed 30 days before their end, so less means that renewing fails. */
const CERTIFICATE_DAYS = { warn: 21, bad: 7 };
/** Tokens live 60 seconds at the shortest. */
const SKEW_SECONDS = 20;

export function engineCheck(engine: EngineFacts): Check {
  const problem = apiProblem(engine);
  if (problem) {
    return found('engine', 'bad', problem, 'Install a supported Docker Engine.');
  }
  const says = `Docker ${engine.version}, API ${engine.apiVersion}, ${engine.cpus} cores`;
  return engine.liveRestore
    ? ok('engine', says)
    : found(
        'engine',
        'warn',
        `${says}, without live-restore: restarting the engine stops every stack`,
        'Add "live-restore": true to /etc/docker/daemon.json and reload the engine.',
      );
}

/** Bytes in use, and bytes a program may still take: a file system may keep more for itself. */
export interface Space {
  used: number;
  free: number;
}

export function diskCheck(name: string, path: string, { used, free }: Space): Check {
  const share = used + free > 0 ? used / (used + free) : 1;
  const says = `${path}: ${Math.round(share * 100)} % used, ${(free / GIB).toFixed(1)} GiB free`;
  if (share < DISK.warn) {
    return ok(name, says);
  }
  return found(name, share < DISK.bad ? 'warn' : 'bad', says, 'Free space or enlarge the disk; old images can go.');
}

export function memoryCheck({ total, available }: { total: number; available: number }): Check {
  const share = total > 0 ? available / total : 0;
  const says = `${(available / GIB).toFixed(1)} of ${(total / GIB).toFixed(1)} GiB available`;
  if (share >= MEMORY.warn) {
    return ok('memory', says);
  }
  return found(
    'memory',
    share >= MEMORY.bad ? 'warn' : 'bad',
    says,
    'Stop or move stacks before the kernel ends processes by itself.',
  );
}

/** `synchronised` is null where the kernel does not say. */
export function clockCheck(clock: {
  skewSeconds: number;
  synchronised: boolean | null;
  notBefore: Date;
  now: Date;
}): Check {
  if (clock.now.getTime() < clock.notBefore.getTime()) {
    return found(
      'clock',
      'bad',
      `it reads ${clock.now.toISOString()}, before this platform's own certificates were made`,
      'Set the clock (timedatectl set-ntp true).',
    );
  }
  if (Math.abs(clock.skewSeconds) > SKEW_SECONDS) {
    return found(
      'clock',
      'bad',
      `this machine and its engine differ by ${Math.round(clock.skewSeconds)} s`,
      'Synchronise both; signatures live for 60 s.',
    );
  }
  return clock.synchronised === false
    ? found(
        'clock',
        'warn',
        'the kernel says nothing keeps it right',
        'Enable time synchronisation (timedatectl set-ntp true).',
      )
    : ok('clock', clock.now.toISOString());
}

export function networkCheck(
  pool: string,
  use: { total: number; used: number; routes: readonly Route[]; ownPrefix: string },
): Check {
  const torn = conflictingRoutes(parseNetwork(pool), use.routes, use.ownPrefix)[0];
  if (torn) {
    return found(
      'networks',
      'bad',
      `the pool ${pool} overlaps ${networkText(torn)} on ${torn.interface}`,
      'Set AVIARY_ADDRESS_POOL in .env to another private network.',
    );
  }
  const free = use.total - use.used;
  const says = `${free} of ${use.total} subnets of ${pool} are free`;
  if (free === 0) {
    return found('networks', 'bad', says, 'Remove stacks, or place new ones on another host.');
  }
  return free < use.total * 0.1 ? found('networks', 'warn', says, 'Plan another host.') : ok('networks', says);
}

/** One line while there is room, else one for each thing that runs out. Disk promised is in the portal's rows alone. */
export function capacityChecks(items: readonly CapacityItem[]): Check[] {
  const percent = ({ share }: CapacityItem): string => (share === null ? 'not told' : `${Math.round(share * 100)} %`);
  const short = items.flatMap((item) =>
    item.level === 'warn' || item.level === 'bad'
      ? [
          found(
            `capacity ${item.resource}`,
            item.level,
            `${item.used} of ${item.limit} ${item.unit} are taken (${percent(item)})`,
            item.todo ?? '',
          ),
        ]
      : [],
  );
  return short.length > 0
    ? short
    : [ok('capacity', items.map((item) => `${item.resource} ${percent(item)}`).join(', '))];
}

export function certificateCheck(name: string, pem: string | null, now: Date): Check {
  const label = `certificate ${name}`;
  if (pem === null) {
    return found(label, 'bad', 'is missing', 'Run scripts/up again.');
  }
  const { validToDate } = new X509Certificate(pem);
  const days = Math.floor((validToDate.getTime() - now.getTime()) / DAY_MS);
  const says = days < 0 ? `ended on ${validToDate.toISOString()}` : `ends in ${days} d`;
  if (days >= CERTIFICATE_DAYS.warn) {
    return ok(label, says);
  }
  return found(
    label,
    days >= CERTIFICATE_DAYS.bad ? 'warn' : 'bad',
    says,
    'Look at the log of the agent, which renews it; supplied files you replace yourself and run scripts/up.',
  );
}

export function firewallCheck(actual: string | null, expected: string): Check {
  if (actual === expected) {
    return ok('firewall', 'rules are loaded and on top');
  }
  return found(
    'firewall',
    'bad',
    actual === null ? 'the rules cannot be read' : 'rules are missing, changed or below others',
    'The agent loads them again within a minute. Where it does not, or this host’s resolvers changed: scripts/up.',
  );
}

export function processCheck(missing: readonly string[], restarts: Readonly<Record<string, number>>): Check {
  const restless = Object.entries(restarts).filter(([, count]) => count > 2);
  if (missing.length > 0) {
    return found(
      'processes',
      'bad',
      `not running: ${missing.join(', ')}`,
      'See docker logs of each; scripts/up starts them.',
    );
  }
  return restless.length > 0
    ? found(
        'processes',
        'warn',
        restless.map(([name, count]) => `${name} restarted ${count} times`).join(', '),
        'See docker logs of each.',
      )
    : ok('processes', 'all run');
}

/** What a process says of itself; null when it says nothing. */
export function healthCheck(name: string, problems: readonly string[] | null): Check {
  if (problems === null) {
    return found(
      name,
      'bad',
      'it does not answer',
      `See docker logs of ${name}. One that runs hangs: docker restart; scripts/up starts one that does not.`,
    );
  }
  return problems.length === 0
    ? ok(name, 'says it is well')
    : found(
        name,
        'bad',
        problems.join('; '),
        `See docker logs of ${name}. Images that are missing and a database that is away: scripts/up.`,
      );
}

/** `status` is that of /readyz through the proxy over TLS; null when nothing answered. */
export function portalCheck(address: string, status: number | null, why: string): Check {
  if (status === 200) {
    return ok('portal', `${address} answers`);
  }
  return found(
    'portal',
    'bad',
    status === null ? `${address} does not answer: ${why}` : `${address}/readyz answers ${status}`,
    status === 503
      ? 'Its database is away: docker logs of postgres. Stacks and signed-in owners are not affected.'
      : 'Look at the processes and ports above; scripts/up starts what is missing.',
  );
}

export function portCheck(port: number, state: 'ours' | 'foreign' | 'silent'): Check {
  const name = `port ${port}`;
  if (state === 'ours') {
    return ok(name, 'the proxy listens');
  }
  return state === 'foreign'
    ? found(name, 'bad', 'another program listens', 'Stop it, or set another port in .env, then scripts/up.')
    : found(name, 'bad', 'nobody listens', 'Start the platform with scripts/up.');
}
