import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { docker, engineEndpoint, testImage } from './engine.js';

const execute = promisify(execFile);
const SCRIPT = join(import.meta.dirname, '../../scripts/dev/test-engine');

/** As `scripts/test` names an engine's folders, namespace and bridge, which removes it at its end too. */
const NAME = 'aviary-test-north';
const RUN = `/run/${NAME}`;
const ENGINE_ENV = {
  AVIARY_TEST_RUN: RUN,
  AVIARY_TEST_DATA: `/var/lib/${NAME}`,
  AVIARY_TEST_NAMESPACE: NAME,
  AVIARY_TEST_BRIDGE: 'avbuildnorth',
};
const IMAGES = ['portal', 'runtime', 'postgres', 'redis', 'traefik'] as const;
/** The two ends of the private network between both hosts, of the range for benchmarks (RFC 2544). */
const [HERE, THERE] = ['198.18.0.1', '198.18.0.2'] as const;
const [LINK_HERE, LINK_THERE] = ['avnorth0', 'avnorth1'] as const;
const FORWARDED = [
  ['-i', LINK_HERE],
  ['-o', LINK_HERE],
] as const;

interface Inspected {
  Name: string;
  Config: { Image: string; User: string; Env: string[]; Cmd: string[] };
  HostConfig: {
    Binds: string[];
    GroupAdd: string[] | null;
    CapAdd: string[] | null;
    Tmpfs: Record<string, string> | null;
  };
}

/** Another host beside the tests' own: an engine with a network of its own, and a private one between the two. */
export class OtherEngine {
  /** Where its proxy is reached. */
  readonly address = THERE;
  readonly socket = `${RUN}/engine.sock`;

  private constructor(private readonly subnet: string) {}

  /** With the images of the tests' own engine; its processes reach `subnet` there. */
  static async start(subnet: string): Promise<OtherEngine> {
    const other = new OtherEngine(subnet);
    try {
      await other.control('start');
      // What a run left that was killed.
      await other.control('clean');
      await other.bringImages();
      await other.link();
      return other;
    } catch (error) {
      await other.close();
      throw error;
    }
  }

  /** Runs the docker client on this engine and gives what it printed. */
  async docker(...args: string[]): Promise<string> {
    const { stdout } = await execute('docker', ['-H', `unix://${this.socket}`, ...args], { timeout: 120_000 });
    return stdout.trim();
  }

  /**
   * A container of the tests' own engine made anew on this one, on the host's network as it is there: with folders below
   * `folders.to` for those below `folders.from`, this engine's socket, and these values in its environment.
   */
  async sameAs(
    name: string,
    { folders, env = {} }: { folders: { from: string; to: string }; env?: Readonly<Record<string, string>> },
  ): Promise<void> {
    const [seen] = JSON.parse(await docker('inspect', name)) as Inspected[];
    if (!seen) {
      throw new Error(`${name} is not there`);
    }
    const { Config: config, HostConfig: host } = seen;
    const values = [...config.Env.filter((one) => !Object.hasOwn(env, one.split('=')[0] ?? '')), ...entries(env)];
    const binds = host.Binds.map((bind) => {
      const [source = '', ...rest] = bind.split(':');
      const here = rest[0] === '/var/run/docker.sock' ? this.socket : source.replace(folders.from, folders.to);
      return [here, ...rest].join(':');
    });
    const { gid } = await stat(this.socket);
    const each = (option: string, list: readonly string[]): string[] => list.flatMap((one) => [option, one]);
    const hardened = ['--read-only', '--init', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true'];
    await this.docker(
      'run',
      '-d',
      '--name',
      name,
      '--network',
      'host',
      '--user',
      config.User,
      ...hardened,
      ...each('--cap-add', host.CapAdd ?? []),
      ...each('--group-add', (host.GroupAdd ?? []).length > 0 ? [String(gid)] : []),
      ...each(
        '--tmpfs',
        Object.entries(host.Tmpfs ?? {}).map(([path, options]) => `${path}:${options}`),
      ),
      ...each('-v', binds),
      ...each('-e', values),
      config.Image,
      ...config.Cmd,
    );
  }

  async close(): Promise<void> {
    await this.control('down');
    // Where it went with the namespace of its other end.
    await removed('ip', 'link', 'delete', LINK_HERE);
    for (const rule of FORWARDED) {
      await removed('iptables', '-w', '-D', 'FORWARD', ...rule, '-j', 'ACCEPT');
    }
  }

  private async control(verb: 'start' | 'clean' | 'down'): Promise<void> {
    await execute(SCRIPT, [verb], { timeout: 120_000, env: { ...process.env, ...ENGINE_ENV } });
  }

  private async bringImages(): Promise<void> {
    const references = IMAGES.map(testImage);
    const there = new Set((await this.docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}')).split('\n'));
    const missing = references.filter((name) => !there.has(name));
    if (missing.length > 0) {
      await execute(
        'bash',
        [
          '-euo',
          'pipefail',
          '-c',
          'docker -H "$0" save "${@:2}" | docker -H "$1" load',
          engineEndpoint(),
          `unix://${this.socket}`,
          ...missing,
        ],
        { timeout: 180_000 },
      );
    }
  }

  private async link(): Promise<void> {
    const steps = [
      ['ip', 'link', 'add', LINK_HERE, 'type', 'veth', 'peer', 'name', LINK_THERE, 'netns', NAME],
      ['ip', 'address', 'add', `${HERE}/30`, 'dev', LINK_HERE],
      ['ip', 'link', 'set', LINK_HERE, 'up'],
      ['ip', '-n', NAME, 'address', 'add', `${THERE}/30`, 'dev', LINK_THERE],
      ['ip', '-n', NAME, 'link', 'set', LINK_THERE, 'up'],
      ['ip', '-n', NAME, 'route', 'add', this.subnet, 'via', HERE],
      ...FORWARDED.map((rule) => ['iptables', '-w', '-I', 'FORWARD', ...rule, '-j', 'ACCEPT']),
    ];
    for (const [program = '', ...args] of steps) {
      await execute(program, args);
    }
  }
}

const entries = (env: Readonly<Record<string, string>>): string[] =>
  Object.entries(env).map(([name, value]) => `${name}=${value}`);

/** As `ip` and `iptables` say that it is not there. */
const NOT_THERE = /Cannot find device|does a matching rule exist/;

/** What may be gone already. */
async function removed(program: string, ...args: string[]): Promise<void> {
  try {
    await execute(program, args);
  } catch (error) {
    if (!NOT_THERE.test(String(error))) {
      throw error;
    }
  }
}
