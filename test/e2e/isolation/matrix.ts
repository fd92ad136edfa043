import type { Place } from '../../support/inside.js';
import type { Grounds } from './grounds.js';

/** What a cell says: the probe gets through, or it does not. */
export type Answer = 'open' | 'refused';

export interface Row {
  /** As docs/security.md has it. */
  target: string;
  /** Probes (`probe.pl`) as each of the two containers tries them; every one is to answer alike. */
  probes: (grounds: Grounds, from: From) => string[];
  runtime: Answer;
  database: Answer;
  /** Where the very same probes get through, in words and in fact; a row that is open proves itself. */
  control?: {
    where: string;
    place: (grounds: Grounds, from: From) => Place;
    /** Where the target has another address from there. */
    probes?: readonly string[];
  };
  /** Nothing but the platform's own rules keeps the runtime from it. */
  firewall?: true;
  /** Not while the agent is away: there is nothing that could be reached. */
  needsAgent?: true;
}

/** The containers of a stack that probes are tried from. */
export const FROM = ['runtime', 'postgres'] as const;
export type From = (typeof FROM)[number];

/** Words of `probe.pl` that mean that it did not get through. Any other word but `open` and `allowed` is a fault. */
const REFUSALS = /^(refused|unreachable|dropped|unknown|absent|denied|killed|(full|denied) at \d+)$/;

export function answerOf(word: string): Answer {
  if (word === 'open' || word === 'allowed') {
    return 'open';
  }
  if (!REFUSALS.test(word)) {
    throw new Error(`a probe ended with: ${word}`);
  }
  return 'refused';
}

export const columnOf = (row: Row, from: From): Answer => (from === 'runtime' ? row.runtime : row.database);

const host = { where: 'the host', place: (): Place => 'host' };
const tcp = (addresses: readonly string[], port: number): string[] =>
  addresses.map((address) => `tcp ${address} ${port}`);
/** A container of the same image that the engine makes as it does by default, or with what `options` add. */
const unhardened = (where: string, ...options: string[]): Row['control'] => ({
  where,
  place: ({ images }, from) => ({ image: images[from], options: ['--user', '0', '--network', 'none', ...options] }),
});

export const NETWORK: readonly Row[] = [
  {
    target: 'PostgreSQL and Redis of the stack itself, by name',
    probes: () => ['name postgres 5432', 'name redis 6379'],
    runtime: 'open',
    database: 'open',
  },
  {
    target: 'another stack’s runtime, by both its addresses, on the same edge bridge and on another',
    probes: ({ other, far }) => tcp([other.inner.runtime, other.edge, far.inner.runtime, far.edge], 8080),
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'another stack’s PostgreSQL, by address',
    probes: ({ other, far }) => tcp([other.inner.postgres, far.inner.postgres], 5432),
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'another stack’s Redis, by address',
    probes: ({ other, far }) => tcp([other.inner.redis, far.inner.redis], 6379),
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'another stack’s runtime, PostgreSQL and Redis, by name',
    probes: ({ other }) => [
      `name ${other.names.runtime} 8080`,
      `name ${other.names.postgres} 5432`,
      `name ${other.names.redis} 6379`,
    ],
    runtime: 'refused',
    database: 'refused',
    control: { where: 'inside that other stack', place: ({ other }) => ({ container: other.names.runtime }) },
  },
  {
    target: 'the portal’s PostgreSQL',
    probes: ({ portal }) => tcp([portal.postgres], 5432),
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'the portal’s Redis',
    probes: ({ portal }) => tcp([portal.redis], 6379),
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'the portal’s API past the proxy, its private port, and the gates',
    probes: ({ portal }) => [
      `tcp ${portal.api} 8080`,
      `tcp ${portal.api} 8081`,
      `tcp ${portal.api2} 8080`,
      `tcp ${portal.gate} 8082`,
      `tcp ${portal.gate2} 8082`,
    ],
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'the portal’s worker, where its metrics are',
    probes: ({ portal }) => tcp([portal.worker], 8083),
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
  {
    target: 'the portal’s public address',
    probes: ({ gateways, httpsPort }) => tcp([gateways.edge], httpsPort),
    runtime: 'open',
    database: 'refused',
    control: host,
  },
  {
    target: 'any other port of the host, by every address it has',
    probes: ({ gateways, lan, hostPort }) => [
      ...tcp([gateways.edge, gateways.inner, gateways.portal, lan.host], hostPort),
      `udp ${gateways.edge} ${hostPort}`,
      `udp ${gateways.inner} ${hostPort}`,
    ],
    runtime: 'refused',
    database: 'refused',
    control: host,
    firewall: true,
  },
  {
    target: 'the engine’s socket',
    probes: () => ['unix /var/run/docker.sock'],
    runtime: 'refused',
    database: 'refused',
    control: {
      where: 'a container that was given it',
      place: ({ images, engineSocket }, from) => ({
        image: images[from],
        options: ['--user', '0', '--network', 'none', '-v', `${engineSocket}:/var/run/docker.sock`],
      }),
    },
  },
  {
    target: 'the agent’s private socket (not tried while the agent is away: there is none then)',
    probes: () => ['unix /run/aviary-agent/agent.sock'],
    runtime: 'refused',
    database: 'refused',
    control: { where: 'the agent’s own container', place: ({ containers }) => ({ container: containers.agent }) },
    needsAgent: true,
  },
  {
    target: 'the metadata address 169.254.169.254',
    // A listener on every address answers there too, so the ports that stacks may reach elsewhere are tried as well.
    probes: ({ hostPort, httpsPort }) => [80, httpsPort, hostPort].flatMap((port) => tcp(['169.254.169.254'], port)),
    runtime: 'refused',
    database: 'refused',
    control: host,
    firewall: true,
  },
  {
    target: 'private, carrier and benchmark ranges (10/8, 172.16/12, 192.168/16, 100.64/10, 198.18/15)',
    probes: ({ lan }) => tcp(lan.private, 80),
    runtime: 'refused',
    database: 'refused',
    control: host,
    firewall: true,
  },
  {
    target: 'the internet',
    probes: ({ lan }) => tcp([lan.internet], 80),
    runtime: 'open',
    database: 'refused',
    control: host,
  },
  {
    target: 'anything by IPv6',
    // Without an address on any interface not even a neighbour of the same bridge is to be had.
    probes: ({ ipv6, hostPort }) => [...tcp([ipv6], hostPort), 'addresses6'],
    runtime: 'refused',
    database: 'refused',
    control: host,
  },
];

export const KERNEL: readonly Row[] = [
  {
    target: 'raw and packet sockets',
    probes: () => ['raw', 'packet'],
    runtime: 'refused',
    database: 'refused',
    control: unhardened('a container as the engine makes it by default'),
  },
  {
    target: 'making a device node of the host’s disk',
    probes: () => ['device /tmp/disk'],
    runtime: 'refused',
    database: 'refused',
    control: unhardened('a container as the engine makes it by default'),
  },
  {
    target: 'mounting, and a mount namespace of its own',
    probes: () => ['mount', 'namespace'],
    runtime: 'refused',
    database: 'refused',
    control: unhardened(
      'a container with CAP_SYS_ADMIN',
      '--cap-add=SYS_ADMIN',
      '--security-opt=seccomp=unconfined',
      '--security-opt=apparmor=unconfined',
    ),
  },
  {
    target: 'writing outside its volumes and /tmp',
    probes: () => ['/', '/etc', '/usr/bin', '/var/lib', '/run', '/opt'].map((folder) => `write ${folder}`),
    runtime: 'refused',
    database: 'refused',
    control: unhardened('a container as the engine makes it by default'),
  },
  {
    target: 'changing its own secrets',
    probes: () => ['write /run/aviary/database-password'],
    runtime: 'refused',
    database: 'refused',
    control: {
      where: 'a container with the volume mounted to write',
      place: ({ images, secrets }, from) => ({
        image: images[from],
        options: ['--user', '0', '--network', 'none', '-v', `${secrets[from]}:/run/aviary`],
      }),
    },
  },
  {
    target: 'more processes than its plan',
    probes: ({ limits }, from) => [`fork ${limits[from].pids + 100}`],
    runtime: 'refused',
    database: 'refused',
    control: unhardened('a container without that limit'),
  },
  {
    target: 'more memory than its plan',
    probes: ({ limits }, from) => [`memory ${limits[from].memoryMb + 32}`],
    runtime: 'refused',
    database: 'refused',
    control: unhardened('a container without that limit'),
  },
];

/** Tried in ways of their own. */
export const LOG: Row = {
  target: 'filling the disk with its log: more than three files of 10 MB',
  probes: () => ['log 64'],
  runtime: 'refused',
  database: 'refused',
  control: {
    where: 'a container without that bound',
    place: ({ unboundedLog }) => ({ container: unboundedLog }),
  },
};
export const SECRETS: Row = {
  target: 'reading its own raw secrets by any address of the portal’s API or its dashboard’s',
  probes: () => [],
  runtime: 'refused',
  database: 'refused',
  control: {
    where: 'the file in the container it was made for',
    place: ({ own }) => ({ container: own.names.runtime }),
  },
};

const head = ['Target', 'Runtime', 'Database', 'The same gets through from'];

/** The table of docs/security.md. */
export function matrixTable(rows: readonly Row[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(head),
    line(head.map(() => '---')),
    ...rows.map((row) => line([row.target, row.runtime, row.database, row.control?.where ?? '(open)'])),
  ].join('\n');
}
