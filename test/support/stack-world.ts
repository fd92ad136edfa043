import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Actor, DomainError } from '#libs/contracts';
import { newSigningKey, publicKeyText } from '#libs/crypto';
import { AccountEntity, EngineEntity, newId, PlanEntity } from '#libs/db';
import { RouteFolder, type EdgeSettings } from '#libs/edge';
import { FakeEngine, type Engine, type EngineStreams, type EngineWatch } from '#libs/engine';
import { createQueue, type Queue } from '#libs/jobs';
import { readMasterKeys, startKeys, type DataKeys } from '#libs/keys';
import {
  EdgeKeeper,
  EdgeRoutes,
  type FactSettings,
  OperationRunner,
  StackSecrets,
  type Probes,
  type StackBackups,
  type StackDatabases,
} from '#libs/orchestrator';
import { createLogger, type Logger } from '#libs/telemetry';
import {
  AgentPort,
  BackupService,
  ReleaseService,
  UpgradeService,
  DomainService,
  HoldService,
  OperationService,
  parsePool,
  ResizeService,
  RolloutService,
  SleepService,
  StackService,
  type AddressPool,
  type HostDisk,
  type TenantDeps,
} from '#libs/tenants';
import { DiskGuard } from '../../apps/agent/src/disk-guard.js';
import { EngineAlarms } from '../../apps/agent/src/engine-alarms.js';
import { EngineAnswer } from '../../apps/agent/src/engine-answer.js';
import { EndKeeper } from '../../apps/agent/src/end-keeper.js';
import { OrphanKeeper } from '../../apps/agent/src/orphan-keeper.js';
import { RECONCILE_TIMES, type ReconcileTimes } from '../../apps/agent/src/reconcile-times.js';
import { Reconciler } from '../../apps/agent/src/reconciler.js';
import { registerReleases } from '../../apps/agent/src/releases.js';
import { StackChecker } from '../../apps/agent/src/stack-checker.js';
import { newMasterKeyText } from './keys.js';
import { testDatabase, type TestDatabase } from './postgres.js';

export const IMAGES = {
  AVIARY_IMAGE_POSTGRES: 'postgres:test',
  AVIARY_IMAGE_REDIS: 'redis:test',
  AVIARY_IMAGE_RUNTIME: 'runtime:test',
};
export const ENGINE_ID = 'local';
export const PLACES = { portalDomain: 'aviary.localhost', tenantDomain: 'aviary.localhost', httpsPort: 443 };

export interface StackWorld {
  database: TestDatabase;
  engine: FakeEngine;
  queue: Queue;
  folder: RouteFolder;
  edge: EdgeSettings;
  stacks: StackService;
  operations: OperationService;
  holds: HoldService;
  sleep: SleepService;
  resize: ResizeService;
  backups: BackupService;
  releases: ReleaseService;
  upgrades: UpgradeService;
  rollouts: RolloutService;
  routes: EdgeRoutes;
  domains: DomainService;
  facts: FactSettings;
  /** What an agent of this world has to be given. */
  masterKey: string;
  keys: DataKeys;
  /** A runner as an agent has it; `engine` and `probes` may be others. */
  runner(options?: {
    engine?: Engine;
    probes?: Probes;
    databases?: StackDatabases;
    streams?: EngineStreams;
    backups?: StackBackups;
    /** Of an engine that is not the world's own. */
    edges?: EdgeKeeper;
    hostDisk?: HostDisk;
    leaseSeconds?: number;
    obeysWithinMs?: number;
    stuck?: (error: DomainError) => void;
    owner?: string;
  }): OperationRunner;
  /** A reconciler as an agent has it, which looks when it is told to. */
  reconciler(options?: {
    probes?: Probes;
    times?: Partial<ReconcileTimes>;
    graceHours?: number;
    watch?: EngineWatch;
    engine?: Engine;
  }): Reconciler;
  /** Looks at single stacks, all of which answer. */
  checker: StackChecker;
  /** An agent's alarms about its engine as a whole, told when they are told to be. */
  engineAlarms(reconciler: Pick<Reconciler, 'fleetUnwell'>, answer?: EngineAnswer): EngineAlarms;
  /** What keeps why services ended, as an agent has it. */
  endKeeper(watch?: Pick<EngineWatch, 'log'>): EndKeeper;
  /** A guard of stacks' disks as an agent has it, which looks when it is told to. */
  diskGuard(options?: { probes?: Pick<Probes, 'hold'>; hostDisk?: HostDisk }): DiskGuard;
  /** An active account with a plan of that code, and its actor. */
  account(plan?: string): Promise<Actor & { accountId: string; kind: 'subscriber' }>;
  operator(): Promise<Actor & { accountId: string; kind: 'operator' }>;
  close(): Promise<void>;
}

/** Of a host with room. */
const ROOM: HostDisk = { totalMb: 100_000, freeMb: 50_000, floorMb: 2_048 };

/** Answers at once, as a healthy stack does. */
export const healthyProbes: Probes = {
  ready: () => Promise.resolve(),
  served: () => Promise.resolve(),
  activity: () => Promise.resolve({ runningBots: 0, openOrders: 0, tokens: [] }),
  resumption: () => Promise.resolve({ starting: false, failure: null, bots: [], ledger: [] }),
  hold: () => Promise.resolve({ held: 0, openOrders: 0 }),
};

/** Nobody's password is to be changed. */
const noDatabases: StackDatabases = {
  changePassword: () => Promise.reject(new Error('no stack of this test has a database')),
};

const never = (): Promise<never> => Promise.reject(new Error('no stack of this test is backed up'));
const noStreams: EngineStreams = { exec: never, pack: never, unpack: never };
const noBackups: StackBackups = {
  dump: never,
  store: never,
  prove: never,
  prune: never,
  kept: never,
  giveUp: never,
  load: never,
  swap: never,
  roomToCarry: never,
  carry: never,
  setPassword: never,
  erase: () => Promise.resolve(null),
};

/** The services, queue, database and planner of production around an engine in memory. */
export async function stackWorld(
  options: {
    routes?: string;
    edge?: Partial<EdgeSettings>;
    pool?: AddressPool;
    logger?: Logger;
    now?: () => Date;
    /** Base64, as `up` generates one; the other for a rotation. */
    masterKey?: string;
    nextMasterKey?: string;
    /** Where an agent answers for this world's engine, once a test starts one there. */
    agentSocket?: string;
    /** One that is there already, such as a recovered one. */
    database?: TestDatabase;
  } = {},
): Promise<StackWorld> {
  const database = options.database ?? (await testDatabase());
  const logger = options.logger ?? createLogger('test', 'silent');
  const queue = createQueue({ url: database.url, applicationName: 'test', logger });
  await queue.start();
  const engine = new FakeEngine({ images: Object.values(IMAGES) });
  const home = await mkdtemp(join(tmpdir(), 'aviary-stacks-'));
  const now = options.now ?? ((): Date => new Date());
  const { dataSource, platformId } = database;
  await dataSource
    .createQueryBuilder()
    .insert()
    .into(EngineEntity)
    .values({
      id: ENGINE_ID,
      kind: 'docker',
      capacity: { memoryMb: 24_000, cpus: 2 },
      createdAt: now(),
      seenAt: now(),
    })
    .orIgnore()
    .execute();
  await registerReleases({
    directory: resolve(import.meta.dirname, '../../tenant-template'),
    images: IMAGES,
    dataSource,
    engine,
    logger,
    now,
  });
  const folder = new RouteFolder({
    directory: options.routes ?? join(home, 'routes'),
    quarantineDirectory: join(home, 'quarantine'),
    logger,
  });
  await folder.adopt([]);
  const edge: EdgeSettings = {
    portalDomain: PLACES.portalDomain,
    tenantDomain: PLACES.tenantDomain,
    gateUrls: ['http://10.131.255.195:8082'],
    apiUrls: ['http://10.131.255.194:8080'],
    certificateDir: '/etc/traefik/certs',
    ...options.edge,
  };
  const portalUrl = `https://${PLACES.portalDomain}`;
  const deps: TenantDeps = { dataSource, queue, now, places: PLACES };
  const pool = options.pool ?? parsePool('10.128.0.0/14');
  const masterKey = options.masterKey ?? newMasterKeyText();
  const masters = await readMasterKeys(
    {
      MASTER_KEY: masterKey,
      MASTER_KEY_COMMAND: '',
      NEXT_MASTER_KEY: options.nextMasterKey,
      NEXT_MASTER_KEY_COMMAND: '',
    },
    '',
  );
  const keys = await startKeys(dataSource, masters, now());
  const secrets = new StackSecrets(dataSource, {
    keys,
    gatePublicKey: publicKeyText(newSigningKey()),
    ...PLACES,
    portalCa: () => Promise.resolve(''),
  });
  async function insertPerson(
    plan: string,
    role: 'subscriber' | 'operator',
  ): Promise<{ accountId: string; username: string }> {
    const id = newId();
    const { id: planId } = await dataSource.manager.findOneByOrFail(PlanEntity, { code: plan });
    const username = `user-${id.slice(-12)}`;
    await dataSource.manager.insert(AccountEntity, {
      id,
      email: `${username}@example.org`,
      username,
      passwordHash: 'x',
      role,
      state: 'active',
      planId,
      emailVerifiedAt: now(),
      trialEndsAt: null,
      createdAt: now(),
      updatedAt: now(),
    });
    return { accountId: id, username };
  }
  const edges = new EdgeKeeper();
  const routes = new EdgeRoutes(folder, edge);
  return {
    database,
    engine,
    queue,
    folder,
    edge,
    facts: { platformId, pool, ...PLACES },
    masterKey,
    keys,
    stacks: new StackService(deps, { engineId: ENGINE_ID, pool }),
    operations: new OperationService(deps),
    holds: new HoldService(deps),
    sleep: new SleepService(deps),
    resize: new ResizeService(deps),
    backups: new BackupService(deps),
    releases: new ReleaseService({
      ...deps,
      agent: new AgentPort(options.agentSocket ?? join(home, 'nobody.sock'), ENGINE_ID),
    }),
    upgrades: new UpgradeService(deps),
    rollouts: new RolloutService(deps),
    routes,
    domains: new DomainService(deps),
    runner: (options = {}) =>
      new OperationRunner(
        options.engine ?? engine,
        {
          dataSource,
          routes,
          secrets,
          probes: options.probes ?? healthyProbes,
          databases: options.databases ?? noDatabases,
          edges: options.edges ?? edges,
          streams: options.streams ?? noStreams,
          backups: options.backups ?? noBackups,
          hostDisk: () => Promise.resolve(options.hostDisk ?? ROOM),
          queue,
          portalUrl,
          now,
        },
        {
          platformId,
          pool,
          ...PLACES,
          databaseAwayMs: 20_000,
          obeysWithinMs: options.obeysWithinMs ?? 120_000,
          stuck: options.stuck ?? ((error) => logger.error({ err: error }, 'a phase is stuck')),
          lease: { owner: options.owner ?? randomUUID(), seconds: options.leaseSeconds ?? 5 },
        },
        logger,
      ),
    reconciler: ({ probes = healthyProbes, times = {}, graceHours = 168, watch, engine: other = engine } = {}) => {
      const settings = { platformId, pool, ...PLACES, engineId: ENGINE_ID };
      const common = { dataSource, queue, portalUrl, engine: other, probes, settings, logger, now };
      return new Reconciler({
        ...common,
        routes,
        secrets,
        edges,
        checker: new StackChecker({ ...common, secrets }),
        ends: new EndKeeper({ ...common, watch }),
        orphans: new OrphanKeeper({ dataSource, engine, platformId, engineId: ENGINE_ID, graceHours, logger }),
        times: { ...RECONCILE_TIMES, settleMs: 0, patienceMs: 60_000, ...times },
      });
    },
    checker: new StackChecker({
      secrets,
      dataSource,
      queue,
      portalUrl,
      engine,
      probes: healthyProbes,
      settings: { platformId, pool, ...PLACES, engineId: ENGINE_ID },
      logger,
      now,
    }),
    engineAlarms: (reconciler, answer = new EngineAnswer({ engine })) =>
      new EngineAlarms({ dataSource, engineId: ENGINE_ID, pool, reconciler, answer, keys, logger, now }),
    endKeeper: (watch) => {
      return new EndKeeper({
        dataSource,
        queue,
        portalUrl,
        engine,
        watch: watch as EngineWatch | undefined,
        settings: { platformId },
        logger,
        now,
      });
    },
    diskGuard: ({ probes = healthyProbes, hostDisk = ROOM } = {}) => {
      const settings = { platformId, pool, ...PLACES, engineId: ENGINE_ID };
      const common = { dataSource, queue, portalUrl, probes, secrets, settings, logger, now };
      return new DiskGuard({ ...common, hostDisk: () => Promise.resolve(hostDisk) });
    },
    async account(plan = 'pro') {
      const person = await insertPerson(plan, 'subscriber');
      return { kind: 'subscriber', ...person, via: 'portal', ip: null, sessionId: null };
    },
    async operator() {
      const person = await insertPerson('pro', 'operator');
      return { kind: 'operator', ...person, via: 'cli', ip: null, sessionId: null };
    },
    async close() {
      await queue.stop();
      await database.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}
