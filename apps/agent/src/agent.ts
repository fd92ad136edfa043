import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Config } from '#libs/config';
import { platformPrefix } from '#libs/contracts';
import { assertPlatform, createDataSource, EngineEntity, OperationEntity, ReleaseEntity } from '#libs/db';
import {
  ensureCertificates,
  readPortalAuthority,
  renderCanary,
  renderShared,
  RouteFolder,
  type EdgeSettings,
} from '#libs/edge';
import type { Engine } from '#libs/engine';
import { createQueue } from '#libs/jobs';
import { EdgeKeeper, EdgeRoutes, HttpProbes, OperationRunner, type Probes, StackSecrets } from '#libs/orchestrator';
import { parsePool } from '#libs/tenants';
import type { Logger } from '#libs/telemetry';
import { CertificateKeeper } from './certificate-keeper.js';
import { FirewallKeeper } from './firewall-keeper.js';
import { OperationSweeper } from './operation-sweeper.js';
import { startPrivateServer } from './private-server.js';
import { publishedRoutes } from './published-routes.js';
import { registerReleases } from './releases.js';
import { RouteCanary } from './route-canary.js';
import { StackChecker } from './stack-checker.js';
import { Timers } from './timers.js';

export interface AgentParts {
  config: Config<'agent'>;
  engine: Engine;
  logger: Logger;
  /** How stacks are looked at; over HTTP by address and through the proxy unless told. */
  probes?: Probes;
}

const SWEEP_SECONDS = 5;
const QUARANTINE_SECONDS = 20;
const FIREWALL_SECONDS = 60;
/** While no work is taken, somebody waits. */
const FIREWALL_AGAIN_SECONDS = 5;
const CANARY_SECONDS = 60;
const CHECK_SECONDS = 30;
const SIGN_OF_LIFE_SECONDS = 10;
const ENGINE_MS = 20_000;
/** Longer than a restart of the portal's database (12 s measured for a whole engine), shorter than a person's patience. */
const DATABASE_AWAY_MS = 10 * 60_000;

/** Puts the agent together and starts it. The returned function stops it and leaves every operation to be resumed. */
export async function startAgent({
  config,
  engine,
  logger,
  probes: givenProbes,
}: AgentParts): Promise<() => Promise<void>> {
  const now = (): Date => new Date();
  const stopping = new AbortController();
  const dataSource = await createDataSource(config.DATABASE_URL, { applicationName: 'aviary-agent' }).initialize();
  await assertPlatform(dataSource, config.PLATFORM_ID);
  const pool = parsePool(config.ADDRESS_POOL);
  const folder = (name: string): string => join(config.DATA_DIR, name);
  const edge: EdgeSettings = {
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    gateUrl: config.GATE_URL,
    apiUrl: config.API_URL,
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

  const info = await engine.info({ deadlineMs: ENGINE_MS });
  const signOfLife = (): Promise<unknown> =>
    dataSource
      .createQueryBuilder()
      .insert()
      .into(EngineEntity)
      .values({
        id: config.ENGINE_ID,
        kind: 'docker',
        capacity: { memoryMb: Math.floor(info.memoryBytes / 1024 ** 2), cpus: info.cpus },
        createdAt: now(),
        seenAt: now(),
      })
      .orUpdate(['capacity', 'seen_at'], ['id'])
      .execute();
  await signOfLife();
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

  const routes = new RouteFolder({ directory: folder('routes'), quarantineDirectory: folder('quarantine'), logger });
  await routes.adopt([
    renderShared(edge),
    renderCanary(edge, 0),
    ...(await publishedRoutes({ dataSource, facts, edge, logger })),
  ]);

  const proxy = { host: '127.0.0.1', port: config.HTTPS_PORT };
  const probes = givenProbes ?? new HttpProbes({ tenantDomain: config.TENANT_DOMAIN, proxy, ca: portalCa });
  const secrets = new StackSecrets(dataSource, {
    masterKey: Buffer.from(config.MASTER_KEY, 'base64'),
    gatePublicKey: config.GATE_PUBLIC_KEY,
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    httpsPort: config.HTTPS_PORT,
    portalCa,
  });
  const runner = new OperationRunner(
    engine,
    {
      dataSource,
      routes: new EdgeRoutes(routes, edge),
      secrets,
      probes,
      edges: new EdgeKeeper(),
      now,
    },
    {
      ...facts,
      databaseAwayMs: DATABASE_AWAY_MS,
      lease: { owner: `${config.ENGINE_ID}@${hostname()}#${randomUUID()}`, seconds: config.LEASE_SECONDS },
    },
    logger,
  );
  const queue = createQueue({ url: config.DATABASE_URL, applicationName: 'aviary-agent-queue', logger });
  await queue.start();

  const timers = new Timers(stopping.signal, logger);
  const sweeper = new OperationSweeper({ dataSource, queue, runner, engineId: config.ENGINE_ID, logger });
  const checker = new StackChecker({ dataSource, engine, probes, settings: facts, logger, now });
  const firewall = new FirewallKeeper({
    engine,
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
  const acme = { email: config.ACME_EMAIL, directory: config.ACME_DIRECTORY, dnsProvider: config.ACME_DNS_PROVIDER };
  const certificates = new CertificateKeeper({
    ready: () => (config.TLS_MODE === 'acme' ? live.promise : Promise.resolve()),
    ensure: () =>
      ensureCertificates({
        mode: config.TLS_MODE,
        dataDir: config.DATA_DIR,
        portalDomain: config.PORTAL_DOMAIN,
        tenantDomain: config.TENANT_DOMAIN,
        now: now(),
        acme,
      }),
    touch: () => routes.touch(),
    logger,
    now,
  });
  timers.every('sweep', Math.min(SWEEP_SECONDS, config.LEASE_SECONDS), () => sweeper.turn());
  timers.every('quarantine', QUARANTINE_SECONDS, () => routes.quarantine());
  // The clock's seconds: each generation is new, also after a restart of the agent.
  timers.every('proxy', CANARY_SECONDS, async () => {
    await canary.sing(Math.floor(now().getTime() / 1_000));
    live.resolve();
  });
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
  timers.every('check', CHECK_SECONDS, () => checker.turn(stopping.signal));
  timers.every('sign of life', SIGN_OF_LIFE_SECONDS, signOfLife);
  timers.every(
    'certificates',
    () => certificates.pauseSeconds(),
    () => certificates.turn(),
  );
  const server = await startPrivateServer(config.AGENT_SOCKET, health, metrics);
  logger.info({ engine: info.version, api: info.apiVersion, releases }, 'agent ready');

  function takeWork(): Promise<void> {
    return queue.work(
      {
        'engine.operation': async ({ operationId }) => {
          const row = await dataSource.manager.findOneBy(OperationEntity, { id: operationId });
          // A second job of work that is under way here must not hold a place in the lane.
          if (row && !runner.isLive(operationId)) {
            await runner.run(operationId, row.tenantId, stopping.signal);
          }
        },
      },
      { engineId: config.ENGINE_ID, concurrency: config.PROVISION_PARALLEL },
    );
  }

  /** Ok only while a stack could be made here now. */
  async function health(): Promise<{ ok: boolean; checks: Record<string, string> }> {
    let database = 'ok';
    let stable = 0;
    try {
      stable = await dataSource.manager.countBy(ReleaseEntity, { state: 'stable' });
    } catch (error) {
      database = error instanceof Error ? error.message : 'away';
    }
    const checks: Record<string, string> = { database, ...timers.failing() };
    if (leftOut.length > 0) {
      checks['releases'] = leftOut.map(({ template, reason }) => `${template} is left out: ${reason}`).join(' ');
    } else if (database === 'ok') {
      checks['releases'] =
        stable > 0 ? 'ok' : 'None is ready, so no stack can be made. Run scripts/up to make its images.';
    }
    return { ok: Object.values(checks).every((says) => says === 'ok'), checks };
  }

  async function metrics(): Promise<string> {
    const rows = await dataSource.query<{ kind: string; state: string; n: string }[]>(
      `select kind, state, count(*) as n from operations where engine_id = $1 group by kind, state order by kind, state`,
      [config.ENGINE_ID],
    );
    const lines = rows.map(({ kind, state, n }) => `aviary_operations{kind="${kind}",state="${state}"} ${n}`);
    return [
      '# HELP aviary_operations Operations of this engine by kind and state.',
      '# TYPE aviary_operations gauge',
      ...lines,
      '',
    ].join('\n');
  }

  return async () => {
    stopping.abort(new Error('the agent is stopping'));
    server.close();
    await queue.stop();
    await timers.ended();
    await dataSource.destroy();
  };
}
