import { join } from 'node:path';
import type { BackupExports, FenceGuard, PortalRepository, RepositoryPasswords, StackCounts } from '#libs/backup';
import { httpsOrigin, type Config } from '#libs/config';
import { platformPrefix } from '#libs/contracts';
import { ReleaseEntity, type Database } from '#libs/db';
import {
  readPortalAuthority,
  readServed,
  renderCanary,
  renderShared,
  RouteFolder,
  type EdgeSettings,
} from '#libs/edge';
import type { Engine, EngineInfo, EngineStreams, EngineWatch } from '#libs/engine';
import { createQueue } from '#libs/jobs';
import type { DataKeys } from '#libs/keys';
import {
  EdgeKeeper,
  EdgeRoutes,
  type EngineLease,
  guardedEngine,
  guardedProbes,
  HttpProbes,
  OperationRunner,
  PgStackDatabases,
  type Probes,
  StackSecrets,
} from '#libs/orchestrator';
import { parsePool } from '#libs/tenants';
import type { Logger } from '#libs/telemetry';
import { hostDisk } from './capacity.js';
import { DiskGuard } from './disk-guard.js';
import { EndKeeper } from './end-keeper.js';
import { EngineAlarms } from './engine-alarms.js';
import { EngineAnswer } from './engine-answer.js';
import { FirewallKeeper } from './firewall-keeper.js';
import { keepCertificates } from './keep-certificates.js';
import { MemoryGuard } from './memory-guard.js';
import { type AgentFigures } from './metrics.js';
import { OperationLane } from './operation-lane.js';
import { OperationSweeper } from './operation-sweeper.js';
import { OrphanKeeper } from './orphan-keeper.js';
import { publishedRoutes } from './published-routes.js';
import type { ReconcileTimes } from './reconcile-times.js';
import { Reconciler } from './reconciler.js';
import { keepRecovery } from './recovery.js';
import { registerReleases } from './releases.js';
import { stackBackups } from './stack-backups.js';
import { restartPortal } from './portal-container.js';
import { keepPortal } from './portal-keeping.js';
import { signOfLife, tellFigures } from './sign-of-life.js';
import { ProxyKeeper } from './proxy-keeper.js';
import { ProxyLook } from './proxy-look.js';
import { RouteCanary } from './route-canary.js';
import { StackChecker } from './stack-checker.js';
import { Timers } from './timers.js';
import type { LastUsage } from './watch/usage-watcher.js';
import { startWatching } from './watch/watching.js';

const SWEEP_SECONDS = 5;
const QUARANTINE_SECONDS = 20;
const FIREWALL_SECONDS = 60;
/** While no work is taken, somebody waits. */
const FIREWALL_AGAIN_SECONDS = 5;
const PROXY_SECONDS = 60;
const CHECK_SECONDS = 30;
const DUTY_SECONDS = 60;
/** Somebody who set a record waits before a page; while nothing is due, a turn is a few small queries. */
const DOMAIN_SECONDS = 3;
/** How soon what is due is seen to be; while nothing is, a turn costs nothing. */
const RECONCILE_SECONDS = 0.25;
/** How soon events are followed again where following them broke off. */
const LISTEN_SECONDS = 2;
const SIGN_OF_LIFE_SECONDS = 10;
const ENGINE_ANSWER_SECONDS = 10;
/** Longer than a restart of the portal's database (12 s measured for a whole engine), shorter than a person's patience. */
const DATABASE_AWAY_MS = 10 * 60_000;
/** What is told to end is given seconds, each of what it uses in turn; nothing needs that long. */
const OBEYS_WITHIN_MS = 120_000;

export interface LeadParts {
  config: Config<'agent'>;
  dataSource: Database;
  /** Not guarded: what changes it goes through the lease here. */
  engine: Engine;
  info: EngineInfo;
  lease: EngineLease;
  /** Name of this life of this process, under which it holds operations too. */
  owner: string;
  keys: DataKeys;
  /** Of the portal's own backups. */
  portal: PortalRepository;
  fence: FenceGuard;
  logger: Logger;
  /** How stacks are looked at; over HTTP by address and through the proxy unless told. */
  probes: Probes | undefined;
  /** The reconciler's pace, where it is to be another than in production. */
  reconcile: ReconcileTimes | undefined;
  /** Looks at what runs; where there is none, nothing is measured. */
  watch: EngineWatch | undefined;
  /** Not guarded either: an operation's own lease guards it there. */
  streams: EngineStreams;
  /** Told how long the proxy took to serve a new route, each time. */
  routeWasLive: (milliseconds: number) => void;
  /** Told why this process may act no more; it ends then. */
  lost: (error: unknown) => void;
}

export interface Leading {
  /** Names what is not as it should be, `ok` where all is. */
  checks(): Promise<Record<string, string>>;
  figures: Omit<AgentFigures, 'active'>;
  exports: BackupExports;
  passwords: RepositoryPasswords;
  counts: StackCounts;
  /** Null before the first measurement. */
  usage(): LastUsage | null;
  /** Every periodic task by name, and whether its last turn failed. */
  tasks(): Record<string, boolean>;
  stop(): Promise<void>;
}

/** All that the one active agent of an engine does. Every change of the engine, of routes and rules asks the lease first. */
export async function lead({ config, dataSource, engine: unguarded, ...parts }: LeadParts): Promise<Leading> {
  const { info, lease, owner, keys, logger } = parts;
  const engine = guardedEngine(unguarded, () => lease.prove());
  const upkeep = guardedEngine(unguarded, () => lease.proveForUpkeep());
  const now = (): Date => new Date();
  const stopping = new AbortController();
  const pool = parsePool(config.ADDRESS_POOL);
  const folder = (name: string): string => join(config.DATA_DIR, name);
  const edge: EdgeSettings = {
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    gateUrls: config.GATE_URLS,
    proxyPort: config.PROXY_PORT,
    apiUrls: config.API_URLS,
    certificateDir: '/etc/traefik/certs',
    // With a local authority a browser that was told so could not be led back once its trust is withdrawn.
    strictTransport: config.TLS_MODE !== 'local',
  };
  const facts = {
    platformId: config.PLATFORM_ID,
    engineId: config.ENGINE_ID,
    pool,
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    ...(config.MTU === undefined ? {} : { mtu: config.MTU }),
  };
  const portalCa = (): Promise<string> => readPortalAuthority({ mode: config.TLS_MODE, dataDir: config.DATA_DIR });

  const sign = { config, dataSource, info, now };
  await signOfLife(sign);
  const { releases, leftOut } = await registerReleases({
    directory: config.TEMPLATE_DIR,
    images: {
      AVIARY_IMAGE_POSTGRES: config.IMAGE_POSTGRES,
      AVIARY_IMAGE_REDIS: config.IMAGE_REDIS,
      AVIARY_IMAGE_RUNTIME: config.IMAGE_RUNTIME,
    },
    dataSource,
    engine,
    logger,
    now,
  });

  const routes = new RouteFolder({
    directory: folder('routes'),
    quarantineDirectory: folder('quarantine'),
    logger,
    allowed: () => lease.proveForUpkeep(),
  });
  await routes.adopt([
    renderShared(edge),
    renderCanary(edge, 0),
    ...(await publishedRoutes({ dataSource, facts, edge, logger })),
  ]);

  const proxy = { host: '127.0.0.1', port: config.HTTPS_PORT };
  const probes = guardedProbes(
    parts.probes ?? new HttpProbes({ tenantDomain: config.TENANT_DOMAIN, proxy, ca: portalCa }),
    () => lease.prove(),
  );
  const secrets = new StackSecrets(dataSource, {
    keys,
    gatePublicKey: config.GATE_PUBLIC_KEY,
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    httpsPort: config.HTTPS_PORT,
    portalCa,
  });
  const edges = new EdgeKeeper();
  const edgeRoutes = new EdgeRoutes(routes, edge);
  const queue = createQueue({ url: config.DATABASE_URL, applicationName: 'aviary-agent-queue', logger });
  await queue.start();
  const portalUrl = httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT);
  const { streams, fence } = parts;
  const { backups, ...asked } = await stackBackups({ config, dataSource, streams, keys, fence, now });
  const runner = new OperationRunner(
    engine,
    {
      dataSource,
      routes: edgeRoutes,
      secrets,
      probes,
      databases: new PgStackDatabases(() => lease.prove()),
      edges,
      streams: parts.streams,
      backups,
      hostDisk: () => hostDisk(config),
      queue,
      portalUrl,
      now,
    },
    {
      ...facts,
      databaseAwayMs: DATABASE_AWAY_MS,
      obeysWithinMs: OBEYS_WITHIN_MS,
      stuck: parts.lost,
      lease: { owner, seconds: config.LEASE_SECONDS },
    },
    logger,
  );
  const lane = new OperationLane({ dataSource, runner, logger, stopping: stopping.signal });
  const timers = new Timers(stopping.signal, logger);
  const { signal } = stopping;
  keepRecovery(timers, { config, dataSource, keys, engine: unguarded, queue, logger, stopping: signal, now });
  const common = { dataSource, queue, portalUrl, probes, settings: facts, logger, now };
  const diskGuard = new DiskGuard({ ...common, secrets, hostDisk: () => hostDisk(config) });
  const memoryGuard = new MemoryGuard(common);
  const ends = new EndKeeper({ ...common, engine, watch: parts.watch });
  const watching = startWatching({ ...parts, diskGuard, memoryGuard, config, dataSource, stop: stopping.signal });
  const sweeper = new OperationSweeper({ dataSource, queue, lane, engineId: config.ENGINE_ID, logger });
  const checker = new StackChecker({ ...common, secrets, engine });
  const orphans = new OrphanKeeper({
    dataSource,
    engine,
    platformId: config.PLATFORM_ID,
    engineId: config.ENGINE_ID,
    graceHours: config.ORPHAN_GRACE_HOURS,
    logger,
  });
  const reconciler = new Reconciler({
    ...common,
    engine,
    routes: edgeRoutes,
    secrets,
    edges,
    checker,
    orphans,
    ends,
    ...(parts.reconcile ? { times: parts.reconcile } : {}),
  });
  const firewall = new FirewallKeeper({
    engine: upkeep,
    platformId: config.PLATFORM_ID,
    image: config.TOOLS_IMAGE,
    settings: {
      prefix: platformPrefix(config.PLATFORM_ID),
      resolvers: config.RESOLVERS,
      portalPorts: [config.HTTP_PORT, config.HTTPS_PORT],
    },
    logger,
  });
  const canary = new RouteCanary({ folder: routes, edge, proxy });
  const live = Promise.withResolvers<void>();
  stopping.signal.addEventListener('abort', () => live.reject(stopping.signal.reason));
  live.promise.catch(() => undefined); // Told to whoever waits for it, and nobody does where no authority is asked.
  const certificates = keepCertificates({
    config,
    dataSource,
    queue,
    portalUrl,
    folder: routes,
    routes: edgeRoutes,
    facts,
    proxy,
    live: live.promise,
    prove: () => lease.proveForUpkeep(),
    logger,
    now,
  });
  const truth = new ProxyKeeper({
    folder: routes,
    read: (signal) => readServed(config.PROXY_PORT, signal),
    restart: () => restartPortal(upkeep, config.PLATFORM_ID, 'traefik'),
    logger,
    now,
  });
  const proxyLook = new ProxyLook({
    ...common,
    engineId: config.ENGINE_ID,
    canary,
    truth,
    certificates,
    wasLive: (milliseconds) => {
      parts.routeWasLive(milliseconds);
      live.resolve();
    },
  });
  const answer = new EngineAnswer({ engine });
  const alarms = new EngineAlarms({ ...common, engineId: config.ENGINE_ID, pool, reconciler, answer, keys });
  const figures: Leading['figures'] = {
    proxy: truth.figures,
    get routeLagMs() {
      return proxyLook.routeLagMs;
    },
    get passedAt() {
      return reconciler.passedAt;
    },
    get pass() {
      return reconciler.lastPass;
    },
    get room() {
      return alarms.room;
    },
  };
  timers.every('sweep', Math.min(SWEEP_SECONDS, config.LEASE_SECONDS), () => sweeper.turn());
  timers.every('quarantine', QUARANTINE_SECONDS, () => routes.quarantine());
  timers.every('proxy', PROXY_SECONDS, () => proxyLook.turn());
  let working = false;
  timers.every(
    'firewall',
    () => (working ? FIREWALL_SECONDS : FIREWALL_AGAIN_SECONDS),
    async () => {
      await firewall.assert();
      // Not before: what is made and started would stand behind no wall.
      if (!working) {
        await takeWork();
        working = true;
      }
    },
  );
  timers.every('events', LISTEN_SECONDS, () => reconciler.listen(stopping.signal));
  timers.every('engine pass', RECONCILE_SECONDS, () => reconciler.passTurn(stopping.signal));
  timers.every('reconcile', RECONCILE_SECONDS, () => reconciler.turn(stopping.signal));
  timers.every('engine answer', ENGINE_ANSWER_SECONDS, () => answer.turn(stopping.signal));
  timers.every('alarms', DUTY_SECONDS, () => alarms.turn());
  const duties = keepPortal(timers, {
    ...parts,
    config,
    dataSource,
    engine: unguarded,
    upkeep,
    now,
  });
  timers.every('check', CHECK_SECONDS, async () => {
    for (const id of await checker.turn(stopping.signal)) {
      reconciler.suspect(id);
    }
  });
  timers.every('domains', DOMAIN_SECONDS, () => certificates.domains.turn());
  timers.every('sign of life', SIGN_OF_LIFE_SECONDS, () => signOfLife(sign));
  timers.every('figures', SIGN_OF_LIFE_SECONDS, () => tellFigures(sign, { ...figures, budget: certificates.budget }));
  timers.every(
    'certificates',
    () => certificates.keeper.pauseSeconds(),
    () => certificates.keeper.turn(),
  );
  logger.info({ engine: info.version, api: info.apiVersion, releases, fencing: lease.fencing }, 'agent ready');

  function takeWork(): Promise<void> {
    return queue.work(
      {
        'engine.operation': ({ operationId }) => lane.take(operationId),
      },
      { engineId: config.ENGINE_ID, concurrency: config.PROVISION_PARALLEL },
    );
  }

  async function checks(): Promise<Record<string, string>> {
    let database = 'ok';
    let stable = 0;
    try {
      stable = await dataSource.manager.countBy(ReleaseEntity, { state: 'stable' });
    } catch (error) {
      database = error instanceof Error ? error.message : 'away';
    }
    const says: Record<string, string> = { database, ...timers.failing() };
    const undone = duties.findings().filter(({ severity }) => severity === 'critical');
    if (undone.length > 0) {
      says['duties'] = undone.map(({ message }) => message).join(' ');
    }
    if (leftOut.length > 0) {
      says['releases'] = leftOut.map(({ template, reason }) => `${template} is left out: ${reason}`).join(' ');
    } else if (database === 'ok') {
      says['releases'] =
        stable > 0 ? 'ok' : 'None is ready, so no stack can be made. Run scripts/up to make its images.';
    }
    return says;
  }

  return {
    checks,
    figures,
    ...asked,
    usage: () => watching.usage(),
    tasks: () => ({ ...timers.states(), ...watching.states() }),
    stop: async () => {
      stopping.abort(new Error('the agent is stopping'));
      await queue.stop();
      await lane.ended();
      await timers.ended();
      await certificates.domains.ended();
      await watching.ended();
      await reconciler.ended();
    },
  };
}
