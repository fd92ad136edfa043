import { renderFirewallLoader } from '#libs/edge';
import { NetworkNamespace } from '../support/network-namespace.js';

jest.setTimeout(60_000);

/**
 * A host, a container on an edge bridge, one on a tenant's inner bridge and the world, each a network namespace of its
 * own: what the rules let through is tried with real connections.
 */
describe('what the firewall lets through', () => {
  const HOST_PORTS = [443, 2222];
  const settings = { prefix: '0af3', resolvers: ['192.168.77.53'], portalPorts: [443] };
  let host: NetworkNamespace;
  let edge: NetworkNamespace;
  let inner: NetworkNamespace;
  let world: NetworkNamespace;

  /** open, refused (at once) or dropped (nothing within the time). */
  const reach = (from: NetworkNamespace, address: string, port: number): Promise<string> => {
    const program = `const socket = require('node:net').connect({ host: '${address}', port: ${port}, timeout: 1200 });
const say = (word) => { console.log(word); process.exit(); };
socket.on('connect', () => say('open')).on('timeout', () => say('dropped'));
socket.on('error', (error) => say(error.code === 'ECONNREFUSED' ? 'refused' : error.code));`;
    return from.run(process.execPath, ['-e', program]);
  };

  beforeAll(async () => {
    [host, edge, inner, world] = [
      await NetworkNamespace.open(),
      await NetworkNamespace.open(),
      await NetworkNamespace.open(),
      await NetworkNamespace.open(),
    ];
    host.sh(
      `ip link add ave0af31 type bridge; ip addr add 10.200.0.1/24 dev ave0af31; ip link set ave0af31 up
ip link add avt0af3abc234 type bridge; ip addr add 10.201.0.1/24 dev avt0af3abc234; ip link set avt0af3abc234 up
ip link add v-edge type veth peer name eth0 netns ${edge.pid}; ip link set v-edge master ave0af31 up
ip link add v-inner type veth peer name eth0 netns ${inner.pid}; ip link set v-inner master avt0af3abc234 up
ip link add v-world type veth peer name eth0 netns ${world.pid}; ip link set v-world up
ip addr add 198.51.100.1/24 dev v-world; ip addr add 169.254.170.23/32 dev lo
ip route add 192.168.77.0/24 via 198.51.100.2; ip route add 169.254.169.254 via 198.51.100.2
echo 1 > /proc/sys/net/ipv4/ip_forward`,
    );
    edge.sh('ip addr add 10.200.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.200.0.1');
    inner.sh('ip addr add 10.201.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.201.0.1');
    world.sh(
      `ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up; ip route add default via 198.51.100.1
ip addr add 192.168.77.53/32 dev lo; ip addr add 192.168.77.9/32 dev lo; ip addr add 169.254.169.254/32 dev lo`,
    );
    await host.listen(HOST_PORTS);
    await edge.listen([8080]);
    await inner.listen([5432]);
    await world.listen([80, 53]);
  });
  afterAll(async () => {
    for (const namespace of [host, edge, inner, world]) {
      await namespace?.close();
    }
  });

  const CASES: [from: 'edge' | 'inner' | 'host', address: string, port: number, without: string, withRules: string][] =
    [
      // the portal, by the gateway and by any other address of the host
      ['edge', '10.200.0.1', 443, 'open', 'open'],
      ['edge', '198.51.100.1', 443, 'open', 'open'],
      // a metadata service of the host itself, on a port that is the portal's elsewhere
      ['edge', '169.254.170.23', 443, 'open', 'dropped'],
      // everything else the host listens on
      ['edge', '10.200.0.1', 2222, 'open', 'dropped'],
      ['edge', '198.51.100.1', 2222, 'open', 'dropped'],
      ['inner', '10.201.0.1', 2222, 'open', 'dropped'],
      ['inner', '10.201.0.1', 443, 'open', 'dropped'],
      // the internet, and what is not
      ['edge', '198.51.100.2', 80, 'open', 'open'],
      ['edge', '192.168.77.9', 80, 'open', 'refused'],
      ['edge', '169.254.169.254', 80, 'open', 'refused'],
      ['edge', '10.201.0.2', 5432, 'open', 'refused'],
      // the engine's resolver, for names only
      ['edge', '192.168.77.53', 53, 'open', 'open'],
      ['edge', '192.168.77.53', 80, 'open', 'refused'],
      // the proxy and the agent reach the stack
      ['host', '10.200.0.2', 8080, 'open', 'open'],
      ['host', '10.201.0.2', 5432, 'open', 'open'],
    ];
  const name = (from: string, address: string, port: number): string => `${from} → ${address}:${port}`;
  const tryAll = async (): Promise<string[]> => {
    const places = { edge, inner, host };
    const words: string[] = [];
    for (const [from, address, port] of CASES) {
      words.push(`${name(from, address, port)} ${await reach(places[from], address, port)}`);
    }
    return words;
  };

  it('everything, before it is loaded', async () => {
    expect(await tryAll()).toEqual(CASES.map(([from, address, port, word]) => `${name(from, address, port)} ${word}`));
  });

  it('exactly this, once it is', async () => {
    host.sh('sh -s', renderFirewallLoader(settings));
    // What the engine does when it starts: its chain is asked first.
    host.sh('iptables -I FORWARD -j DOCKER-USER');
    expect(await tryAll()).toEqual(
      CASES.map(([from, address, port, , word]) => `${name(from, address, port)} ${word}`),
    );
  });
});
