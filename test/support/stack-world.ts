import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Actor } from '#libs/contracts';
import { newSigningKey, publicKeyText } from '#libs/crypto';
import { AccountEntity, EngineEntity, newId, PlanEntity } from '#libs/db';
import { RouteFolder, type EdgeSettings } from '#libs/edge';
import { FakeEngine, type Engine } from '#libs/engine';
import { createQueue, type Queue } from '#libs/jobs';
import { EdgeKeeper, EdgeRoutes, OperationRunner, StackSecrets, type Probes } from '#libs/orchestrator';
import { createLogger } from '#libs/telemetry';
import { OperationService, parsePool, StackService, type TenantDeps } from '#libs/tenants';
import { registerReleases } from '../../apps/agent/src/releases.js';
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
  /** A runner as an agent has it; `engine` and `probes` may be others. */
  runner(options?: { engine?: Engine; probes?: Probes; leaseSeconds?: number; owner?: string }): OperationRunner;
  /** An active account with a plan of that code, and its actor. */
  account(plan?: string): Promise<Actor & { accountId: string; kind: 'subscriber' }>;
  close(): Promise<void>;
}

/** Answers at once, as a healthy stack does. */
export const healthyProbes: Probes = { ready: () => Promise.resolve(), served: () => Promise.resolve() };

/** The services, queue, database and planner of production around an engine in memory. */
export async function stackWorld(): Promise<StackWorld> {
  const database = await testDatabase();
  const logger = createLogger('test', 'silent');
  const queue = createQueue({ url: database.url, applicationName: 'test', logger });
  await queue.start();
  const engine = new FakeEngine({ images: Object.values(IMAGES) });
  const home = await mkdtemp(join(tmpdir(), 'aviary-stacks-'));
  const now = (): Date => new Date();
  const { dataSource, platformId } = database;
  await dataSource.manager.insert(EngineEntity, {
    id: ENGINE_ID,
    kind: 'docker',
    capacity: { memoryMb: 24_000, cpus: 2 },
    createdAt: now(),
    seenAt: now(),
  });
  await registerReleases({
    directory: resolve(import.meta.dirname, '../../tenant-template'),
    images: IMAGES,
    dataSource,
    engine,
    logger,
    now,
  });
  const folder = new RouteFolder({
    directory: join(home, 'routes'),
    quarantineDirectory: join(home, 'quarantine'),
    logger,
  });
  await folder.adopt([]);
  const edge: EdgeSettings = {
    portalDomain: PLACES.portalDomain,
    tenantDomain: PLACES.tenantDomain,
    gateUrl: 'http://10.131.255.195:8082',
    apiUrl: 'http://10.131.255.194:8080',
    certificateDir: '/etc/traefik/certs',
  };
  const deps: TenantDeps = { dataSource, queue, now, places: PLACES };
  const pool = parsePool('10.128.0.0/14');
  const secrets = new StackSecrets(dataSource, {
    masterKey: randomBytes(32),
    gatePublicKey: publicKeyText(newSigningKey()),
    ...PLACES,
    portalCa: () => Promise.resolve(''),
  });
  return {
    database,
    engine,
    queue,
    folder,
    edge,
    stacks: new StackService(deps, { engineId: ENGINE_ID, pool }),
    operations: new OperationService(deps),
    runner: (options = {}) =>
      new OperationRunner(
        options.engine ?? engine,
        {
          dataSource,
          routes: new EdgeRoutes(folder, edge),
          secrets,
          probes: options.probes ?? healthyProbes,
          edges: new EdgeKeeper(),
          now,
        },
        {
          platformId,
          pool,
          ...PLACES,
          databaseAwayMs: 20_000,
          lease: { owner: options.owner ?? randomUUID(), seconds: options.leaseSeconds ?? 5 },
        },
        logger,
      ),
    async account(plan = 'pro') {
      const id = newId();
      const { id: planId } = await dataSource.manager.findOneByOrFail(PlanEntity, { code: plan });
      const username = `user-${id.slice(-12)}`;
      await dataSource.manager.insert(AccountEntity, {
        id,
        email: `${username}@example.org`,
        username,
        passwordHash: 'x',
        role: 'subscriber',
        state: 'active',
        planId,
        emailVerifiedAt: now(),
        trialEndsAt: null,
        createdAt: now(),
        updatedAt: now(),
      });
      return { kind: 'subscriber', accountId: id, username, via: 'portal', ip: null, sessionId: null };
    },
    async close() {
      await queue.stop();
      await database.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}
