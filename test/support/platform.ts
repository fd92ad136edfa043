import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { platformPrefix } from '#libs/contracts';
import { docker, engineEndpoint, engineSocket } from './engine.js';
import { PortalClient, type PortalPlace } from './portal-client.js';

const REPOSITORY = resolve(__dirname, '../..');
/** Everything `scripts/up` needs; what it makes stays in a copy, so that a platform of this checkout is not touched. */
const PARTS = [
  'apps',
  'libs',
  'images',
  'scripts',
  'traefik',
  'tenant-template',
  'test/support/go',
  'docker-compose.portal.yml',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.web.json',
];

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

interface PlatformFacts {
  root: string;
  dataDir: string;
  place: PortalPlace;
  prefix: string;
  platformId: string;
  operatorEmail: string;
  operatorPassword: string;
  /** All that `scripts/up` said, for tests of what it says. */
  firstUp: Ran;
}

/** The whole platform, brought up by the shipped scripts on the tests' own engine. */
export class TestPlatform {
  private constructor(readonly facts: PlatformFacts) {}

  get place(): PortalPlace {
    return this.facts.place;
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<TestPlatform> {
    const root = await copyOfRepository();
    const dataDir = join(root, 'data');
    const ran = await script(root, 'up', [], {
      ...settings,
      AVIARY_DATA_DIR: dataDir,
      AVIARY_ENGINE_SOCKET: engineSocket(),
    });
    if (ran.code !== 0) {
      throw new Error(`scripts/up ended with ${ran.code}: ${ran.stderr}`);
    }
    const env = Object.fromEntries(
      (await readFile(join(root, '.env'), 'utf8')).split('\n').flatMap((line) => {
        const [, name, value] = /^(AVIARY_[A-Z_]+)=(.*)$/.exec(line) ?? [];
        return name === undefined ? [] : [[name, value ?? '']];
      }),
    ) as Record<string, string>;
    const password = /^Password: (\S+)/m.exec(ran.stdout)?.[1];
    if (!password) {
      throw new Error(`scripts/up printed no password: ${ran.stdout}`);
    }
    return new TestPlatform({
      root,
      dataDir,
      place: {
        portalDomain: env['AVIARY_PORTAL_DOMAIN'] ?? '',
        tenantDomain: env['AVIARY_TENANT_DOMAIN'] ?? '',
        httpsPort: Number(env['AVIARY_HTTPS_PORT']),
        address: '127.0.0.1',
        ca: await readFile(join(dataDir, 'ca/ca.crt'), 'utf8'),
      },
      prefix: platformPrefix(env['AVIARY_PLATFORM_ID'] ?? ''),
      platformId: env['AVIARY_PLATFORM_ID'] ?? '',
      operatorEmail: env['AVIARY_OPERATOR_EMAIL'] ?? '',
      operatorPassword: password,
      firstUp: ran,
    });
  }

  client(): PortalClient {
    return new PortalClient(this.place);
  }

  async operator(): Promise<PortalClient> {
    const operator = this.client();
    await operator.login(this.facts.operatorEmail, this.facts.operatorPassword);
    return operator;
  }

  /** Name of one of the portal's containers. */
  container(service: 'api' | 'gate' | 'worker' | 'agent' | 'postgres' | 'redis' | 'traefik'): string {
    return `aviary-${this.facts.prefix}-${service}`;
  }

  run(name: 'up' | 'down' | 'aviary', ...args: string[]): Promise<Ran> {
    return script(this.facts.root, name, args, {});
  }

  /** `scripts/aviary … --json`, parsed. */
  async cli<T = unknown>(
    ...args: string[]
  ): Promise<{
    code: number;
    document: { ok: boolean; data: T; error: { code: string; message: string } | null; exit: number };
  }> {
    const { code, stdout, stderr } = await this.run('aviary', ...args, '--json');
    const last = stdout.trim().split('\n').at(-1) ?? '';
    if (!last.startsWith('{')) {
      throw new Error(`aviary ${args.join(' ')} printed no document (${code}): ${stdout} ${stderr}`);
    }
    return { code, document: JSON.parse(last) };
  }

  async sql(statement: string): Promise<string> {
    return docker('exec', this.container('postgres'), 'psql', '-U', 'aviary_owner', '-d', 'aviary', '-Atc', statement);
  }

  /** Everything on the engine that carries this platform's id, by kind. */
  async objects(): Promise<{ containers: string[]; networks: string[]; volumes: string[] }> {
    const filter = ['--filter', `label=aviary.platform=${this.facts.platformId}`];
    const [containers, networks, volumes] = await Promise.all([
      docker('ps', '-a', ...filter, '--format', '{{.Names}}'),
      docker('network', 'ls', ...filter, '--format', '{{.Name}}'),
      docker('volume', 'ls', ...filter, '--format', '{{.Name}}'),
    ]);
    const lines = (text: string): string[] =>
      text
        .split('\n')
        .filter(Boolean)
        .toSorted((a, b) => a.localeCompare(b));
    return { containers: lines(containers), networks: lines(networks), volumes: lines(volumes) };
  }

  /** Whatever a test left, also when it failed before its own end. */
  async stop(): Promise<void> {
    if (Object.values(await this.objects()).flat().length > 0) {
      await this.run('down', '--purge', '--yes');
    }
    await rm(this.facts.root, { recursive: true, force: true });
  }
}

/** A folder with what an operator has after cloning. */
export async function copyOfRepository(): Promise<string> {
  const root = await mkdtemp('/var/tmp/aviary-e2e-');
  await Promise.all(
    PARTS.map((part) =>
      cp(join(REPOSITORY, part), join(root, part), {
        recursive: true,
        filter: (path) => !/\/(dist|node_modules)(\/|$)/.test(path.slice(REPOSITORY.length)),
      }),
    ),
  );
  return root;
}

/** Runs one of the shipped scripts as its operator would, or another program in its place. */
export async function script(
  root: string,
  name: string,
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<Ran> {
  return new Promise((resolvePromise, reject) => {
    const child = spawn(name.startsWith('/') ? name : join(root, 'scripts', name), args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        DOCKER_HOST: engineEndpoint(),
        AVIARY_NO_REGISTRY: 'yes',
        ...settings,
      },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolvePromise({ code: code ?? -1, stdout, stderr }));
  });
}
