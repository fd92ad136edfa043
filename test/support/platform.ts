import { execFile, spawn } from 'node:child_process';
import { chmod, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { platformPrefix } from '#libs/contracts';
import { ContainerPsql } from './container-psql.js';
import { docker, engineEndpoint, engineSocket } from './engine.js';
import { EngineDoor } from './engine-door.js';
import { PortalClient, type PortalPlace } from './portal-client.js';

const execute = promisify(execFile);

const REPOSITORY = resolve(import.meta.dirname, '../..');
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
  private readonly database: ContainerPsql;

  private constructor(
    readonly facts: PlatformFacts,
    /** The way the platform's agent reaches the engine. */
    readonly door: EngineDoor,
  ) {
    this.database = new ContainerPsql(this.container('postgres'), { user: 'aviary_owner', database: 'aviary' });
  }

  get place(): PortalPlace {
    return this.facts.place;
  }

  /** `prepare` puts what there has to be before into the data folder. */
  static async start(
    settings: Readonly<Record<string, string>> = {},
    prepare: (dataDir: string) => Promise<void> = () => Promise.resolve(),
  ): Promise<TestPlatform> {
    const root = await copyOfRepository();
    const door = await EngineDoor.open(join(root, 'engine.sock'), engineSocket());
    try {
      await prepare(join(root, 'data'));
      return new TestPlatform(await broughtUp(root, { AVIARY_ENGINE_SOCKET: door.path, ...settings }), door);
    } catch (error) {
      await door.close();
      await rm(root, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * On another machine: a folder with the sources and this `.env` alone. `bring` makes a platform of it with the shipped
   * scripts, given the folder and the settings to give them.
   */
  static async elsewhere(
    env: string,
    bring: (root: string, settings: Readonly<Record<string, string>>) => Promise<void>,
    operatorPassword: string,
  ): Promise<TestPlatform> {
    const root = await copyOfRepository();
    const door = await EngineDoor.open(join(root, 'engine.sock'), engineSocket());
    try {
      await writeFile(join(root, '.env'), env, { mode: 0o600 });
      await bring(root, { AVIARY_ENGINE_SOCKET: door.path, AVIARY_DATA_DIR: join(root, 'data') });
      const { code, stdout, stderr } = await script(root, 'up', [], {});
      return new TestPlatform(await factsOf(root, { code, stdout, stderr }, operatorPassword), door);
    } catch (error) {
      await door.close();
      await rm(root, { recursive: true, force: true });
      throw error;
    }
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
  container(
    service: 'api' | 'api2' | 'gate' | 'gate2' | 'worker' | 'agent' | 'postgres' | 'redis' | 'traefik',
  ): string {
    return `aviary-${this.facts.prefix}-${service}`;
  }

  run(name: 'up' | 'down' | 'upgrade' | 'aviary', ...args: string[]): Promise<Ran> {
    return script(this.facts.root, name, args, {});
  }

  /** What `.env` says, by full name. */
  async settings(): Promise<Map<string, string>> {
    return envOf(this.facts.root);
  }

  /** With other settings in `.env`, for as long as `work` lasts; who wants them to be so runs `up`, afterwards too. */
  async withSettings(settings: Readonly<Record<string, string>>, work: () => Promise<void>): Promise<void> {
    const file = join(this.facts.root, '.env');
    const before = await readFile(file, 'utf8');
    const kept = before.split('\n').filter((line) => !Object.hasOwn(settings, line.split('=')[0] ?? ''));
    const changed = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    await writeFile(file, `${[...kept.filter(Boolean), ...changed].join('\n')}\n`);
    try {
      await work();
    } finally {
      await writeFile(file, before);
    }
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

  /** In the portal's database. */
  sql(statement: string): Promise<string> {
    return this.database.query(statement);
  }

  /** The container of a stack's service. */
  service(slug: string, service: 'postgres' | 'redis' | 'runtime'): string {
    return `aviary-${this.facts.prefix}-${slug}-${service}`;
  }

  /** In a stack's own database. */
  async stackSql(slug: string, statement: string): Promise<string> {
    return docker('exec', this.service(slug, 'postgres'), 'psql', '-U', 'aviary', '-d', 'aviary', '-Atc', statement);
  }

  /** Everything on the engine that carries this platform's id, by kind. */
  objects(): Promise<EngineObjects> {
    return engineObjects('--filter', `label=aviary.platform=${this.facts.platformId}`);
  }

  /** All that is anywhere of a stack, whatever its labels say: objects, files and rows. Its history of operations stays. */
  async traces({ slug, id }: { slug: string; id: string }): Promise<string[]> {
    const [all, labelled, routes, tables] = await Promise.all([
      engineObjects(),
      engineObjects('--filter', `label=aviary.tenant=${id}`),
      readdir(join(this.facts.dataDir, 'routes')),
      this.sql(
        `select table_name from information_schema.columns
          where table_schema = 'public' and column_name = 'tenant_id' and table_name <> 'operations'`,
      ),
    ]);
    const content = await Promise.all(
      routes.map(async (name) => [name, await readFile(join(this.facts.dataDir, 'routes', name), 'utf8')] as const),
    );
    const counts = [
      `select 'tenants', count(*) from tenants where id = '${id}'`,
      `select 'open operations', count(*) from operations where tenant_id = '${id}' and state in ('queued', 'running')`,
      ...tables.split('\n').map((table) => `select '${table}', count(*) from ${table} where tenant_id = '${id}'`),
    ];
    const rows = await this.sql(`select * from (${counts.join(' union all ')}) as t (what, n) where n > 0`);
    return [
      ...Object.values(all)
        .flat()
        .filter((name) => name.includes(slug)),
      ...Object.values(labelled).flat(),
      ...content.filter(([name, text]) => `${name} ${text}`.includes(slug)).map(([name]) => `routes/${name}`),
      ...rows.split('\n').filter(Boolean),
    ];
  }

  /** Whatever a test left, also when it failed before its own end. */
  async stop(): Promise<void> {
    this.database.close();
    try {
      if (Object.values(await this.objects()).flat().length > 0) {
        try {
          await this.keepLogs();
        } finally {
          await this.run('down', '--purge', '--yes');
        }
      }
    } finally {
      await this.door.close();
      await rm(this.facts.root, { recursive: true, force: true });
    }
  }

  /** Of the portal's processes, beside the other logs of the run: what an answer had behind it is asked afterwards. */
  private async keepLogs(): Promise<void> {
    for (const service of ['api', 'api2', 'gate', 'gate2', 'worker', 'agent'] as const) {
      const container = this.container(service);
      const said = await execute('docker', ['-H', engineEndpoint(), 'logs', '--timestamps', container], {
        maxBuffer: 256 * 1024 * 1024,
      }).catch((error: unknown) => ({ stdout: '', stderr: String(error) }));
      await writeFile(join(tmpdir(), `${container}.log`), said.stdout + said.stderr);
    }
  }
}

/** One that is brought up before the tests of a file or block, and is gone after them. */
export function platformOfTests(): () => TestPlatform {
  let platform: TestPlatform | undefined;
  beforeAll(async () => {
    platform = await TestPlatform.start();
  }, 300_000);
  afterAll(async () => {
    await platform?.stop();
  }, 180_000);
  return () => {
    if (!platform) {
      throw new Error('the platform is not up: it is there from the first test on');
    }
    return platform;
  };
}

export interface EngineObjects {
  containers: string[];
  networks: string[];
  volumes: string[];
}

/** Names by kind, sorted; a name that two networks have comes twice. */
export async function engineObjects(...filter: string[]): Promise<EngineObjects> {
  const lines = (text: string): string[] =>
    text
      .split('\n')
      .filter(Boolean)
      .toSorted((a, b) => a.localeCompare(b));
  const [containers, networks, volumes] = await Promise.all([
    docker('ps', '-a', ...filter, '--format', '{{.Names}}'),
    docker('network', 'ls', ...filter, '--format', '{{.Name}}'),
    docker('volume', 'ls', ...filter, '--format', '{{.Name}}'),
  ]);
  return { containers: lines(containers), networks: lines(networks), volumes: lines(volumes) };
}

/** A folder with what an operator has after cloning. */
export async function copyOfRepository(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'aviary-e2e-'));
  // The portal's processes run as a user of their own.
  await chmod(root, 0o755);
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

async function envOf(root: string): Promise<Map<string, string>> {
  const lines = (await readFile(join(root, '.env'), 'utf8')).split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, name, value] = /^(AVIARY_[A-Z0-9_]+)=(.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value ?? ''] as const];
    }),
  );
}

/** Runs `scripts/up` and reads what it made. */
async function broughtUp(root: string, settings: Readonly<Record<string, string>>): Promise<PlatformFacts> {
  const ran = await script(root, 'up', [], { ...settings, AVIARY_DATA_DIR: join(root, 'data') });
  const password = /^Password: (\S+)/m.exec(ran.stdout)?.[1];
  if (ran.code === 0 && !password) {
    throw new Error(`scripts/up printed no password: ${ran.stdout}`);
  }
  return factsOf(root, ran, password ?? '');
}

async function factsOf(root: string, ran: Ran, operatorPassword: string): Promise<PlatformFacts> {
  if (ran.code !== 0) {
    throw new Error(`scripts/up ended with ${ran.code}: ${ran.stderr}`);
  }
  const dataDir = join(root, 'data');
  const env = await envOf(root);
  return {
    root,
    dataDir,
    place: {
      portalDomain: env.get('AVIARY_PORTAL_DOMAIN') ?? '',
      tenantDomain: env.get('AVIARY_TENANT_DOMAIN') ?? '',
      httpsPort: Number(env.get('AVIARY_HTTPS_PORT')),
      address: '127.0.0.1',
      ca: await readFile(join(dataDir, 'ca/ca.crt'), 'utf8'),
    },
    prefix: platformPrefix(env.get('AVIARY_PLATFORM_ID') ?? ''),
    platformId: env.get('AVIARY_PLATFORM_ID') ?? '',
    operatorEmail: env.get('AVIARY_OPERATOR_EMAIL') ?? '',
    operatorPassword,
    firstUp: ran,
  };
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
