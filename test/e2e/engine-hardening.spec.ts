import { randomUUID } from 'node:crypto';
import Docker from 'dockerode';
import { ContractWorld, bounds } from '../../libs/engine/src/contract/contract-world.js';
import { DockerEngine } from '../../libs/engine/src/index.js';
import { engineEndpoint, engineSocket } from '../support/engine.js';
import { shellPrograms } from '../support/shell-programs.js';

jest.setTimeout(60_000);

const endpoint = engineEndpoint();
const image = process.env['AVIARY_TEST_IMAGE'] ?? '';

/** What the port cannot show: seen from inside the containers, and as the engine itself tells it. */
describe('hardening on a real engine', () => {
  const docker = new Docker({ host: '', socketPath: engineSocket() });
  const world = new ContractWorld(() =>
    Promise.resolve({
      engine: new DockerEngine({ endpoint }),
      image,
      programs: shellPrograms,
      prefix: process.env['AVIARY_TEST_PREFIX'] ?? '10.222',
      close: () => Promise.resolve(),
    }),
  );
  beforeAll(() => world.open());
  afterEach(() => world.clear());

  /** Lines printed by a script run with the hardening of a tenant's container. */
  async function inside(script: string): Promise<string[]> {
    const spec = await world.started(world.container(randomUUID().slice(0, 8), { command: ['sh', '-c', script] }));
    await world.ended(spec);
    return await world.engine.logTail(spec.name, 50, bounds);
  }

  it('leaves a process no capability, no way to new ones, no root and no place to write', async () => {
    const seen = await inside(
      [
        'grep -E "^(CapEff|CapPrm|CapBnd|NoNewPrivs)" /proc/self/status | tr "\\t" " "',
        'id -u',
        'for f in /x /etc/x /usr/x; do if touch $f 2>/dev/null; then echo "wrote $f"; fi; done',
        'cp /bin/true /tmp/true && chmod 755 /tmp/true && if /tmp/true 2>/dev/null; then echo "ran from /tmp"; else echo "noexec"; fi',
        'awk \'$2 == "/tmp" { print $4 }\' /proc/mounts | tr , "\\n" | grep -xE "noexec|nosuid|nodev" | sort | tr "\\n" " "',
        'echo',
        'dd if=/dev/zero of=/tmp/big bs=64k count=64 2>/dev/null || echo "tmpfs full"',
        'tr "\\0" " " </proc/1/cmdline | head -c 16; echo',
        'ulimit -n',
        'grep -c portal.example.org /etc/hosts',
      ].join('\n'),
    );
    expect(seen).toEqual([
      'CapPrm: 0000000000000000',
      'CapEff: 0000000000000000',
      'CapBnd: 0000000000000000',
      'NoNewPrivs: 1',
      '10001',
      'noexec',
      'nodev noexec nosuid ',
      'tmpfs full',
      '/sbin/docker-ini',
      '1024',
      '1',
    ]);
  });

  it('kills what takes more memory than its limit and says so', async () => {
    // the shell outlives it: an engine may miss the kill of a container's last process, which races with its end
    const script = 'dd if=/dev/zero of=/dev/null bs=48M count=1 2>/dev/null; echo "ended with $?"; sleep 1; exit 5';
    const limits = { cpus: 1, memoryBytes: 16 * 1024 * 1024, pids: 16 };
    const spec = await world.started(world.container('greedy', { limits, command: ['sh', '-c', script] }));
    expect(await world.ended(spec)).toMatchObject({ oomKilled: true, exitCode: 5 });
    expect(await world.engine.logTail(spec.name, 5, bounds)).toContain('ended with 137');
  });

  it('lets a helper have the capabilities it names, on the host’s network, and no other', async () => {
    const command = [
      'sh',
      '-c',
      'grep -E "^Cap(Eff|Bnd)" /proc/self/status | tr "\\t" " "; ls /sys/class/net | grep -c "^lo$"',
    ];
    const { output } = await world.engine.runOnce(
      world.helper('capable', { command, capabilities: ['NET_ADMIN'] }),
      bounds,
    );
    // CAP_NET_ADMIN is number 12
    expect(output.split('\n')).toEqual(['CapEff: 0000000000001000', 'CapBnd: 0000000000001000', '1']);
  });

  it('tells the engine the bridge’s name, isolation, range and packet size', async () => {
    const spec = world.network('edge', { internal: false, icc: false, mtu: 1380 });
    await world.engine.createNetwork(spec, bounds);
    const seen = (await docker.getNetwork(spec.name).inspect()) as Docker.NetworkInspectInfo;
    expect(seen).toMatchObject({
      Internal: false,
      EnableIPv6: false,
      IPAM: { Config: [{ Subnet: spec.subnet, Gateway: spec.gateway, IPRange: spec.ipRange }] },
      Options: {
        'com.docker.network.bridge.name': spec.bridgeName,
        'com.docker.network.bridge.enable_icc': 'false',
        'com.docker.network.driver.mtu': '1380',
      },
    });
  });

  it('bounds the log of every container, and leaves no anonymous volume behind', async () => {
    const spec = world.container('logs');
    await world.engine.createContainer(spec, bounds);
    const { HostConfig } = await docker.getContainer(spec.name).inspect();
    expect(HostConfig.LogConfig).toEqual({ Type: 'local', Config: { 'max-size': '10m', 'max-file': '3' } });
    expect(HostConfig.MemorySwap).toBe(HostConfig.Memory);
    const declared = await declareVolume();
    try {
      const before = await volumeNames();
      const anonymous = world.container('anonymous', { image: declared });
      await world.engine.createContainer(anonymous, bounds);
      expect((await volumeNames()).length).toBe(before.length + 1);
      await world.engine.removeContainer(anonymous.name, world.mine, bounds);
      expect(await volumeNames()).toEqual(before);
    } finally {
      await docker.getImage(declared).remove();
    }
  });

  async function volumeNames(): Promise<string[]> {
    const { Volumes } = await docker.listVolumes();
    return (Volumes ?? []).map(({ Name }) => Name).sort();
  }

  /** An image as official databases are: it declares a volume that nobody mounts. */
  async function declareVolume(): Promise<string> {
    const base = await docker.createContainer({ Image: image, Cmd: ['true'] });
    const repo = world.named('declares');
    await docker.getContainer(base.id).commit({ repo, tag: '1', changes: 'VOLUME /declared' });
    await base.remove({ v: true });
    return `${repo}:1`;
  }
});
