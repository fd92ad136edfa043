import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BackupExports,
  FenceGuard,
  PortalRepository,
  Repositories,
  RepositoryPasswords,
  ResticBackups,
  StackCounts,
} from '#libs/backup';
import { FakeEngine, FakeStreams, type Engine } from '#libs/engine';
import { EdgeKeeper, type OperationRunner, type Probes, type StackDatabases } from '#libs/orchestrator';
import { Repository, type RepositoryPlace, type ResticSettings } from '#libs/restic';
import { BackupEntity, EngineEntity, OperationEntity, TenantEntity, tx } from '#libs/db';
import { createLogger } from '#libs/telemetry';
import { startOperation } from '#libs/tenants';
import { backupTool } from './backup-tools.js';
import { CheapRepositories } from './cheap-repository.js';
import type { TestDatabase } from './postgres.js';
import { ENGINE_ID, IMAGES, stackWorld, type StackWorld } from './stack-world.js';
import { VolumeDatabases } from './volume-databases.js';

export const RESTIC = backupTool('restic');

type Owner = Awaited<ReturnType<StackWorld['account']>>;

export interface BackedUpStack {
  id: string;
  slug: string;
  postgres: string;
}

export interface OtherHost {
  engine: FakeEngine;
  /** Works on an operation to its end, as the agent of that host. */
  run: (operationId: string, stackId: string) => Promise<OperationEntity>;
}

function streamsAround(engine: Engine, databases: VolumeDatabases, home: string): FakeStreams {
  const folder = (container: string, at: string): string => {
    const path = join(home, 'volumes', databases.volumeAt(container, at));
    mkdirSync(path, { recursive: true });
    return path;
  };
  return new FakeStreams({
    engine,
    run: (container, command) =>
      command[0] === 'du'
        ? { file: 'du', args: [...command.slice(1, -1), folder(container, command.at(-1) ?? '')] }
        : databases.tool(container, command),
    folder,
  });
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
  /** Of this host's database; asks the repository each time. Replaced by a test to which that tells something else. */
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
    const streams = streamsAround(engine, databases, home);
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

  runner({
    databases,
    repositories = this.repositories,
    ...given
  }: {
    databases?: StackDatabases;
    probes?: Probes;
    engine?: Engine;
    streams?: FakeStreams;
    edges?: EdgeKeeper;
    repositories?: Repositories;
    leaseSeconds?: number;
  } = {}): OperationRunner {
    const { dataSource } = this.world.database;
    const backups = new ResticBackups({
      dataSource,
      repositories,
      zone: 'UTC',
      room: () => Promise.resolve(this.room),
      fence: this.fence,
      now: () => new Date(),
    });
    const { engine, streams } = this;
    return this.world.runner({ engine, streams, backups, ...given, ...(databases && { databases }) });
  }

  /** Another host with an agent of its own, which has that folder for a store, or that of all. */
  async otherHost(id: string, store?: string): Promise<OtherHost> {
    const memory = new FakeEngine({ images: Object.values(IMAGES) });
    const engine = this.databases.around(memory);
    const streams = streamsAround(engine, this.databases, this.home);
    const { dataSource } = this.world.database;
    const now = new Date();
    const capacity = { memoryMb: 24_000, cpus: 2 };
    await dataSource.manager.insert(EngineEntity, { id, kind: 'docker', capacity, createdAt: now, seenAt: now });
    const repositories =
      store === undefined
        ? this.repositories
        : new Repositories(dataSource, {
            places: {
              restic: this.restic,
              repository: (name, password) => Promise.resolve({ url: join(store, name), password }),
            },
            keys: this.world.keys,
          });
    const host = { engine, streams, repositories, edges: new EdgeKeeper() };
    return { engine: memory, run: (operationId, stackId) => this.run(operationId, stackId, host) };
  }

  /** Downloads of backups, as an agent has them. */
  exports(): BackupExports {
    return new BackupExports({
      dataSource: this.world.database.dataSource,
      repositories: this.repositories,
      now: () => new Date(),
    });
  }

  /** What opens its repositories, as an agent gives it out. */
  passwords(): RepositoryPasswords {
    return new RepositoryPasswords({
      dataSource: this.world.database.dataSource,
      repositories: this.repositories,
      now: () => new Date(),
    });
  }

  /** How much is in its stacks' databases, as an agent tells it. */
  counts(): StackCounts {
    const { dataSource, platformId } = this.world.database;
    return new StackCounts({ dataSource, streams: this.streams, platformId, engineId: ENGINE_ID });
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
