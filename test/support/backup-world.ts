import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { BackupExports, FenceGuard, PortalRepository, Repositories, ResticBackups } from '#libs/backup';
import { FakeStreams, type LocalProcess, type ContainerSpec, type Engine, type VolumeSpec } from '#libs/engine';
import type { OperationRunner, StackDatabases } from '#libs/orchestrator';
import { Repository, type RepositoryPlace, type ResticSettings } from '#libs/restic';
import { BackupEntity, OperationEntity, TenantEntity, tx } from '#libs/db';
import { createLogger } from '#libs/telemetry';
import { startOperation } from '#libs/tenants';
import { backupTool } from './backup-tools.js';
import { CheapRepositories } from './cheap-repository.js';
import type { TestDatabase } from './postgres.js';
import { stackWorld, type StackWorld } from './stack-world.js';

export const RESTIC = backupTool('restic');
const DATA = '/var/lib/postgresql/data';

/** The test's own server, whose databases stand for the data volumes of stacks: made, filled and dropped as those are. */
export class VolumeDatabases {
  /** What runs in place of a tool, where a test wants it so. */
  instead: (tool: string) => LocalProcess | null = () => null;
  /** Done once a server for a backup's data was started, and in its database once the backup was loaded. */
  beforeRestore: (() => Promise<void>) | null = null;
  afterRestore: string | null = null;
  private readonly url = new URL(process.env['AVIARY_TEST_POSTGRES'] ?? '');
  private readonly names = new Map<string, string>();
  /** Data volume by container. */
  private readonly mounted = new Map<string, string>();
  /** What each container mounts where. */
  private readonly mounts = new Map<string, ContainerSpec['mounts']>();

  /** An engine in memory whose data volumes are databases of the test's server. */
  around(engine: Engine): Engine {
    const made = async ({ name }: VolumeSpec): Promise<void> => {
      if (/-(data|scratch)-\d+$/.test(name) && !this.names.has(name)) {
        const database = `volume_${randomUUID().replaceAll('-', '')}`;
        await this.server((client) => client.query(`create database ${database}`));
        this.names.set(name, database);
      }
    };
    const removed = async (name: string): Promise<void> => {
      const database = this.names.get(name);
      if (database !== undefined) {
        this.names.delete(name);
        await this.server((client) => client.query(`drop database ${database} with (force)`));
      }
    };
    return new Proxy(engine, {
      get: (target, name, receiver) => {
        const member: unknown = Reflect.get(target, name, receiver);
        if (typeof member !== 'function') {
          return member;
        }
        const call = member.bind(target) as (...args: unknown[]) => Promise<unknown>;
        if (name === 'createVolume') {
          return async (...args: unknown[]) => {
            const answer = await call(...args);
            await made(args[0] as VolumeSpec);
            return answer;
          };
        }
        if (name === 'createContainer') {
          return async (...args: unknown[]) => {
            const spec = args[0] as ContainerSpec;
            this.mounts.set(spec.name, spec.mounts);
            const volume = spec.mounts.find(({ target: at }) => at === DATA)?.volume;
            if (volume !== undefined) {
              this.mounted.set(spec.name, volume);
            }
            return call(...args);
          };
        }
        if (name === 'startContainer') {
          return async (...args: unknown[]) => {
            if ((args[0] as string).endsWith('-scratch')) {
              await this.beforeRestore?.();
            }
            return call(...args);
          };
        }
        if (name === 'removeVolume') {
          return async (...args: unknown[]) => {
            const answer = await call(...args);
            await removed(args[0] as string);
            return answer;
          };
        }
        return call;
      },
    });
  }

  /** A tool of PostgreSQL as it would run in that container. */
  tool(container: string, command: readonly string[]): LocalProcess {
    const [tool = '', ...args] = command;
    const instead = this.instead(tool);
    if (instead) {
      return instead;
    }
    const { hostname, port, username, password } = this.url;
    const at = (flag: string): number => args.indexOf(flag) + 1;
    args[at('-U')] = username;
    args[at('-d')] = this.databaseOf(container);
    const env = { ...process.env, PGHOST: hostname, PGPORT: port, PGPASSWORD: decodeURIComponent(password) };
    const file = backupTool(tool as 'pg_dump' | 'pg_restore' | 'psql');
    if (tool !== 'pg_restore' || this.afterRestore === null) {
      return { file, args, env };
    }
    const more = { PSQL: file.replace('pg_restore', 'psql'), SQL: this.afterRestore, PGUSER: username };
    return {
      file: 'sh',
      args: ['-c', '"$0" "$@" && "$PSQL" -qX -c "$SQL"', file, ...args],
      env: { ...env, ...more, PGDATABASE: this.databaseOf(container) },
    };
  }

  /** Volume that a container has at that folder. */
  volumeAt(container: string, folder: string): string {
    const volume = this.mounts.get(container)?.find(({ target }) => target === folder)?.volume;
    if (volume === undefined) {
      throw new Error(`${container} mounts nothing at ${folder}`);
    }
    return volume;
  }

  /** A statement in the database of a container. */
  async sql(container: string, statement: string): Promise<Record<string, unknown>[]> {
    return this.server(
      async (client) => (await client.query<Record<string, unknown>>(statement)).rows,
      this.databaseOf(container),
    );
  }

  /** Names of the volumes there are. */
  volumes(): string[] {
    return [...this.names.keys()].toSorted();
  }

  /** Whether the server lets that role in with that password. */
  async opens(role: string, password: string): Promise<boolean> {
    const { hostname: host, port } = this.url;
    const client = new pg.Client({ host, port: Number(port), user: role, password, database: 'postgres' });
    try {
      await client.connect();
      return true;
    } catch (error) {
      // invalid_password
      if ((error as { code?: string }).code === '28P01') {
        return false;
      }
      throw error;
    } finally {
      await client.end();
    }
  }

  /** A statement to the server as its own user. */
  async admin(statement: string): Promise<void> {
    await this.server((client) => client.query(statement));
  }

  private databaseOf(container: string): string {
    const database = this.names.get(this.mounted.get(container) ?? '');
    if (database === undefined) {
      throw new Error(`${container} has no data`);
    }
    return database;
  }

  private async server<T>(work: (client: pg.Client) => Promise<T>, database = 'postgres'): Promise<T> {
    const url = new URL(this.url);
    url.pathname = `/${database}`;
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  async close(): Promise<void> {
    for (const database of this.names.values()) {
      await this.server((client) => client.query(`drop database if exists ${database} with (force)`));
    }
  }
}

type Owner = Awaited<ReturnType<StackWorld['account']>>;

export interface BackedUpStack {
  id: string;
  slug: string;
  postgres: string;
}

/** Stacks in memory whose databases are real, backed up by the real restic. */
export class BackupWorld {
  room = { freeMb: 1_000_000, floorMb: 2_048 };
  readonly world: StackWorld;
  readonly databases: VolumeDatabases;
  readonly engine: Engine;
  readonly streams: FakeStreams;
  readonly home: string;
  /** How restic is run; another in its place must be one too. */
  readonly restic: ResticSettings;
  /** What the template of this world calls the role of stacks' databases; on the test's server it is one for all of them. */
  readonly role: string;
  readonly repositories: Repositories;
  /** Of this host's database; asks the repository each time. */
  /** Replaced by a test to which the repository tells something else. */
  fence: FenceGuard;
  private readonly places: ReadonlyMap<string, RepositoryPlace>;

  private constructor(parts: {
    world: StackWorld;
    databases: VolumeDatabases;
    engine: Engine;
    streams: FakeStreams;
    repositories: Repositories;
    fence: FenceGuard;
    places: ReadonlyMap<string, RepositoryPlace>;
    home: string;
    restic: ResticSettings;
    role: string;
  }) {
    this.world = parts.world;
    this.databases = parts.databases;
    this.engine = parts.engine;
    this.streams = parts.streams;
    this.repositories = parts.repositories;
    this.fence = parts.fence;
    this.places = parts.places;
    this.home = parts.home;
    this.restic = parts.restic;
    this.role = parts.role;
  }

  /** On a database and repositories that are there already, where they are given: as a new host has them. */
  static async start(
    given: { database?: TestDatabase; masterKey?: string; repositories?: string } = {},
  ): Promise<BackupWorld> {
    const world = await stackWorld(given);
    const databases = new VolumeDatabases();
    const role = `stack_${randomBytes(6).toString('hex')}`;
    await databases.admin(`create role ${role} login password 'of nobody'`);
    await world.database.dataSource.query(
      `update releases set definition = jsonb_set(definition, '{services,postgres,environment,POSTGRES_USER}', to_jsonb($1::text))`,
      [role],
    );
    const engine = databases.around(world.engine);
    const home = await mkdtemp(join(tmpdir(), 'aviary-backups-'));
    const streams = new FakeStreams({
      engine,
      run: (container, command) => databases.tool(container, command),
      folder: (container, folder) => {
        const at = join(home, 'volumes', databases.volumeAt(container, folder));
        mkdirSync(at, { recursive: true });
        return at;
      },
    });
    const restic = { binary: RESTIC, secretDir: join(home, 'secrets'), cacheDir: join(home, 'cache') };
    await mkdir(restic.secretDir, { mode: 0o700 });
    const places = new Map<string, RepositoryPlace>();
    const cheap = await CheapRepositories.make(restic, join(home, 'repository'));
    const repositories = new Repositories(world.database.dataSource, {
      places: {
        restic,
        repository: async (name, password) => {
          const place = { url: join(given.repositories ?? join(home, 'repositories'), name), password };
          if (!places.has(name)) {
            if (given.repositories === undefined) {
              await cheap.copyTo(place.url, password);
            }
            places.set(name, place);
          }
          return place;
        },
      },
      keys: world.keys,
    });
    const folder = given.repositories ?? join(home, 'repositories');
    const fence = new FenceGuard({
      repository: new PortalRepository({
        places: { restic, repository: (name, password) => Promise.resolve({ url: join(folder, name), password }) },
        masters: world.keys.masters,
      }),
      database: world.database.dataSource,
      logger: createLogger('test', 'silent'),
      now: () => new Date(),
      freshMs: 0,
    });
    return new BackupWorld({ world, databases, engine, streams, repositories, fence, places, home, restic, role });
  }

  runner({ databases }: { databases?: StackDatabases } = {}): OperationRunner {
    const { dataSource } = this.world.database;
    const backups = new ResticBackups({
      dataSource,
      repositories: this.repositories,
      zone: 'UTC',
      room: () => Promise.resolve(this.room),
      fence: this.fence,
      now: () => new Date(),
    });
    return this.world.runner({ engine: this.engine, streams: this.streams, backups, ...(databases && { databases }) });
  }

  /** Downloads of backups, as an agent has them. */
  exports(): BackupExports {
    return new BackupExports({
      dataSource: this.world.database.dataSource,
      repositories: this.repositories,
      now: () => new Date(),
    });
  }

  /** A stack that runs, with some data in its database; of that account, or of a new one. */
  async stack(of?: Owner): Promise<BackedUpStack & { owner: Owner }> {
    const owner = of ?? (await this.world.account());
    const { stack, operation } = await this.world.stacks.create(owner, { template: 'standard' });
    await this.run(operation.id, stack.id);
    const prefix = this.world.engine.names().containers.find((name) => name.endsWith(`${stack.slug}-postgres`)) ?? '';
    await this.databases.sql(prefix, 'create table fills (id int primary key, price numeric not null)');
    await this.databases.sql(prefix, 'insert into fills select n, n * 1.5 from generate_series(1, 1000) n');
    return { id: stack.id, slug: stack.slug, postgres: prefix, owner };
  }

  /** Works on an operation to its end. */
  async run(
    operationId: string,
    stackId: string,
    options: Parameters<BackupWorld['runner']>[0] = {},
  ): Promise<OperationEntity> {
    await this.runner(options).run(operationId, stackId, new AbortController().signal);
    return this.world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: operationId });
  }

  /** Asks for a backup and works on it. */
  async backUp(stack: BackedUpStack): Promise<{ operation: OperationEntity; backup: BackupEntity | null }> {
    const operation = await this.run(await this.ask(stack), stack.id);
    return { operation, backup: await this.backupOf(operation.id) };
  }

  async ask(
    { id }: BackedUpStack,
    kind: 'backup' | 'restore' | 'prune' = 'backup',
    input?: Record<string, unknown>,
  ): Promise<string> {
    const { dataSource } = this.world.database;
    const operation = await tx(dataSource, async (db) => {
      const tenant = await db.findOneByOrFail(TenantEntity, { id });
      return startOperation(db, this.world.queue, {
        tenant,
        kind,
        actor: { kind: 'system', name: 'test' },
        now: new Date(),
        ...(input === undefined ? {} : { input }),
      });
    });
    return operation.id;
  }

  backupOf(operationId: string): Promise<BackupEntity | null> {
    return this.world.database.dataSource.manager.findOneBy(BackupEntity, { operationId });
  }

  /** Where what is in a volume that is no database lies. */
  volumeFolder(volume: string): string {
    return join(this.home, 'volumes', volume);
  }

  /** Where a stack's repository lies. */
  folderOf(stackId: string): string {
    return join(this.home, 'repositories', stackId);
  }

  /** What opens it, as only the agent knows it. */
  placeOf(stackId: string): Promise<RepositoryPlace> {
    const place = this.places.get(stackId);
    return place ? Promise.resolve(place) : Promise.reject(new Error('no repository yet'));
  }

  async repository(stackId: string): Promise<Repository> {
    const repository = await this.repositories.find(stackId);
    if (!repository) {
      throw new Error('no repository');
    }
    return repository;
  }

  async countOf({ postgres }: BackedUpStack): Promise<number> {
    return Number((await this.databases.sql(postgres, 'select count(*) from fills'))[0]?.['count']);
  }

  /** What there is beside the stack's own containers and volumes. */
  leftOver({ slug }: BackedUpStack): string[] {
    const { containers, volumes } = this.world.engine.names();
    return [...containers, ...volumes].filter((name) => name.includes(slug) && /scratch|courier/.test(name));
  }

  /** Whatever a test had put in the place of the usual. */
  asUsual(): void {
    this.databases.instead = () => null;
    this.databases.beforeRestore = null;
    this.databases.afterRestore = null;
    this.restic.binary = RESTIC;
  }

  async close(): Promise<void> {
    await this.world.close();
    await this.databases.close();
    await this.databases.admin(`drop role ${this.role}`);
    await rm(this.home, { recursive: true, force: true });
  }
}
