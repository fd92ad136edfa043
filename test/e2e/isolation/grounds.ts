import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { docker, engineSocket } from '../../support/engine.js';
import { NetworkNamespace } from '../../support/network-namespace.js';
import type { PlatformWorld, RunningStack } from '../platform/world.js';
import type { From } from './matrix.js';

const run = promisify(execFile);
const SERVICES = ['runtime', 'postgres', 'redis'] as const;
type Service = (typeof SERVICES)[number];

export interface StackGround extends RunningStack {
  names: Record<Service, string>;
  /** Addresses on the stack's own bridge, and the runtime's on its edge. */
  inner: Record<Service, string>;
  edge: string;
  edgeNetwork: string;
}

/** Everything probes aim at, each with something that listens there. */
export interface Grounds {
  own: StackGround;
  /** On the same edge bridge as `own`, and on another. */
  other: StackGround;
  far: StackGround;
  portal: Record<'postgres' | 'redis' | 'api' | 'api2' | 'gate' | 'gate2' | 'worker', string>;
  containers: Record<'worker' | 'agent', string>;
  /** The host's addresses on the bridges of `own` and of the portal. */
  gateways: Record<'edge' | 'inner' | 'portal', string>;
  httpsPort: number;
  /** A TCP and UDP port of the host that is nobody's but the test's. */
  hostPort: number;
  /** Machines beside the host: one address in each private range, and one that stands for the internet. */
  lan: { host: string; private: readonly string[]; internet: string };
  ipv6: string;
  images: Record<From, string>;
  limits: Record<From, { pids: number; memoryMb: number }>;
  secrets: Record<From, string>;
  engineSocket: string;
  /** A container that writes its log without a bound. */
  unboundedLog: string;
}

/** What is to be undone, also where opening ended halfway; the last first. */
export type Ends = (() => Promise<unknown>)[];

const LAN = {
  host: '198.51.100.1',
  internet: '198.51.100.2',
  private: ['10.66.0.9', '172.31.66.9', '192.168.66.9', '100.64.66.9', '198.18.66.9'],
};
const METADATA = '169.254.169.254';
const IPV6 = 'fd00:66::9';
const HOST_PORT = 28_765;

interface Inspected {
  Image: string;
  HostConfig: { PidsLimit: number; Memory: number };
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
}

async function inspected(container: string): Promise<Inspected> {
  const [found] = JSON.parse(await docker('inspect', container)) as Inspected[];
  if (!found) {
    throw new Error(`there is no container ${container}`);
  }
  return found;
}

const MIB = 1024 * 1024;

/** Three stacks made by three people, and listeners at every address a stack must not reach. */
export async function openGrounds(world: PlatformWorld, ends: Ends): Promise<Grounds> {
  const { platform } = world;
  const { prefix } = platform.facts;
  const ground = async (): Promise<StackGround> => {
    const stack = await world.runningStack();
    const names = Object.fromEntries(SERVICES.map((service) => [service, platform.service(stack.slug, service)]));
    const inner: Record<string, string> = {};
    let edge = '';
    let edgeNetwork = '';
    for (const service of SERVICES) {
      const { Networks } = (await inspected(names[service] ?? '')).NetworkSettings;
      inner[service] = Networks[`aviary-${prefix}-${stack.slug}`]?.IPAddress ?? '';
      for (const [name, { IPAddress }] of Object.entries(Networks)) {
        if (name.includes('-edge-')) {
          [edge, edgeNetwork] = [IPAddress, name];
        }
      }
    }
    return { ...stack, names, inner, edge, edgeNetwork } as StackGround;
  };
  const own = await ground();
  const other = await ground();
  const far = await ground();
  const portalAddress = async (service: keyof Grounds['portal']): Promise<string> =>
    Object.values((await inspected(platform.container(service))).NetworkSettings.Networks)[0]?.IPAddress ?? '';
  const gateway = async (network: string): Promise<string> =>
    docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', network);
  const [runtime, postgres] = [await inspected(own.names.runtime), await inspected(own.names.postgres)];
  const limitsOf = ({ HostConfig }: Inspected): { pids: number; memoryMb: number } => ({
    pids: HostConfig.PidsLimit,
    memoryMb: HostConfig.Memory / MIB,
  });

  await beside(ends);
  const gateways = {
    edge: await gateway(own.edgeNetwork),
    inner: await gateway(`aviary-${prefix}-${own.slug}`),
    portal: await gateway(`aviary-${prefix}-portal`),
  };
  await onTheHost(ends, Object.values(gateways));
  const unboundedLog = `aviary-test-log-${prefix}`;
  await docker(
    'run',
    '-d',
    '--init',
    `--name=${unboundedLog}`,
    '--network=none',
    '--user=10001:10001',
    '--log-driver=local',
    '--log-opt=max-size=200m',
    '--log-opt=max-file=3',
    '--entrypoint=sleep',
    runtime.Image,
    'infinity',
  );
  ends.push(() => docker('rm', '-f', unboundedLog));
  return {
    own,
    other,
    far,
    portal: {
      postgres: await portalAddress('postgres'),
      redis: await portalAddress('redis'),
      api: await portalAddress('api'),
      api2: await portalAddress('api2'),
      gate: await portalAddress('gate'),
      gate2: await portalAddress('gate2'),
      worker: await portalAddress('worker'),
    },
    containers: { worker: platform.container('worker'), agent: platform.container('agent') },
    gateways,
    httpsPort: platform.place.httpsPort,
    hostPort: HOST_PORT,
    lan: LAN,
    ipv6: IPV6,
    images: { runtime: runtime.Image, postgres: postgres.Image },
    limits: { runtime: limitsOf(runtime), postgres: limitsOf(postgres) },
    secrets: { runtime: `${own.names.runtime}-secrets`, postgres: `${own.names.postgres}-secrets` },
    engineSocket: engineSocket(),
    unboundedLog,
  };
}

/** Another machine on a wire to this host, with an address in every range and something that listens on it. */
async function beside(ends: Ends): Promise<void> {
  const machine = await NetworkNamespace.open();
  ends.push(() => machine.close());
  const networks = LAN.private.map((address) => `${address.split('.').slice(0, 3).join('.')}.0/24`);
  // its addresses and routes go with the link
  ends.push(() => run('ip', ['link', 'delete', 'v-lan']));
  await run('sh', [
    '-ec',
    // A run that was ended in its middle leaves its own.
    `ip link delete v-lan 2>/dev/null || true
ip link add v-lan type veth peer name eth0 netns ${machine.pid}
ip addr add ${LAN.host}/24 dev v-lan; ip link set v-lan up
${networks.map((network) => `ip route add ${network} via ${LAN.internet}`).join('\n')}`,
  ]);
  machine.sh(`ip addr add ${LAN.internet}/24 dev eth0; ip link set eth0 up; ip route add default via ${LAN.host}
${LAN.private.map((address) => `ip addr add ${address}/32 dev lo`).join('\n')}`);
  await machine.listen([80]);
}

/** The metadata address, an address of IPv6 and a port on every address, all of this host itself. */
async function onTheHost(ends: Ends, gateways: readonly string[]): Promise<void> {
  ends.push(() => run('sh', ['-c', `ip addr del ${METADATA}/32 dev lo; ip -6 addr del ${IPV6}/128 dev lo`]));
  await run('sh', [
    '-ec',
    `ip addr replace ${METADATA}/32 dev lo
echo 0 > /proc/sys/net/ipv6/conf/lo/disable_ipv6
ip -6 addr replace ${IPV6}/128 dev lo nodad`,
  ]);
  // Port 80 of every address is the proxy's.
  for (const host of ['0.0.0.0', IPV6]) {
    const server = createServer((socket) => socket.on('error', () => undefined).resume());
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    server.listen({ port: HOST_PORT, host, ipv6Only: host.includes(':') });
    await once(server, 'listening');
  }
  for (const address of gateways) {
    const echo = createSocket('udp4');
    ends.push(() => Promise.resolve(echo.close()));
    echo.on('message', (message, from) => echo.send(message, from.port, from.address));
    // An answer of a socket for all addresses would leave from another one than was asked.
    echo.bind(HOST_PORT, address);
    await once(echo, 'listening');
  }
}
