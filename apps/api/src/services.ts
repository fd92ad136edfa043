import {
  AccessTokens,
  AccountService,
  Passwords,
  RegistrationService,
  SessionService,
  SignInService,
  type AccountDeps,
} from '#libs/accounts';
import { Drain } from '#libs/async';
import { httpsOrigin, type Config } from '#libs/config';
import { signingKeyFromSeed } from '#libs/crypto';
import { assertPlatform, createDataSource, type Database } from '#libs/db';
import { Queue } from '#libs/jobs';
import { OutboxService, PortalAccountMails } from '#libs/support';
import type { Logger } from '#libs/telemetry';
import {
  CapacityService,
  AgentPort,
  BackupService,
  StackLogs,
  ChangeFeed,
  DomainService,
  ExportService,
  FleetOverviewQuery,
  HoldService,
  OperationService,
  OrphanService,
  PlanQuery,
  parsePool,
  ReportService,
  ReleaseService,
  ResizeService,
  RestoreLossQuery,
  RolloutService,
  UpgradeService,
  SignOnService,
  type ExportTimes,
  SleepService,
  StackService,
  UsageService,
  type TenantDeps,
} from '#libs/tenants';

import { databaseAnswers, Readiness, type Probe } from './health/readiness.js';
import { clientAddress } from './http/client-address.js';
import { IdempotencyStore } from './http/idempotency.store.js';
import { LiveStreams } from './http/live-streams.js';
import { Metrics } from './http/metrics.js';
import { MemoryCounter, RedisCounter, type RateCounter } from './http/rate-counter.js';
import { RATE_LIMITS, type RateLimits } from './http/rate-limits.js';
import type { SessionLookup } from './http/session-lookup.js';
import { WatchQuery } from './operator/watch-query.js';

export interface ServiceOptions {
  logger: Logger;
  /** Tests of the limits themselves set smaller ones. */
  rateLimits?: Partial<RateLimits>;
  /** Tests hash at a lower cost. */
  passwords?: Passwords;
  /** Tests wait less long for the end of a download. */
  exportTimes?: Partial<ExportTimes>;
}

export type Services = Awaited<ReturnType<typeof createServices>>;

const now = (): Date => new Date();

/** Everything the controllers call, connected. What is opened here is closed by `close`, in the opposite order. */
export async function createServices(config: Config<'api'>, options: ServiceOptions) {
  const { logger } = options;
  const database = await createDataSource(config.DATABASE_URL, { applicationName: 'aviary-api' }).initialize();
  const opened: (() => Promise<void>)[] = [() => database.destroy()];
  const close = async (): Promise<void> => {
    for (const end of opened.splice(0).toReversed()) {
      await end();
    }
  };
  try {
    await assertPlatform(database, config.PLATFORM_ID);
    const queue = new Queue({ url: config.DATABASE_URL, applicationName: 'aviary-api', logger, supervise: false });
    await queue.start();
    opened.push(() => queue.stop());
    const feed = new ChangeFeed(config.DATABASE_URL, logger);
    feed.start();
    opened.push(() => feed.stop());
    const counter: RateCounter = config.REDIS_URL
      ? new RedisCounter(config.REDIS_URL, `aviary:${config.PLATFORM_ID}:rate`, logger)
      : new MemoryCounter();
    opened.push(() => counter.close());
    const streams = new LiveStreams();
    const agent = new AgentPort(config.AGENT_SOCKET, config.ENGINE_ID);
    return {
      config,
      logger,
      database,
      feed,
      streams,
      drain: new Drain(),
      counter,
      metrics: new Metrics(streams),
      agent,
      rateLimits: { ...RATE_LIMITS, ...options.rateLimits },
      overview: new FleetOverviewQuery(database, now),
      orphans: new OrphanService(database),
      plans: new PlanQuery(database),
      watch: new WatchQuery(database, now),
      readiness: new Readiness(probes(database, counter)),
      ...accountServices(config, database, queue, options.passwords ?? new Passwords()),
      ...tenantServices(config, database, queue, agent),
      exports: new ExportService({ database, agent, logger, now, at: 'portal', times: options.exportTimes }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function accountServices(config: Config<'api'>, database: Database, queue: Queue, passwords: Passwords) {
  const outbox = new OutboxService({ database, queue, now });
  const mails = new PortalAccountMails(outbox, httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT));
  const deps: AccountDeps = { database, mails, passwords, now };
  const sessions = new SessionService(deps, new AccessTokens(config.SIGN_ON_SEED));
  return {
    outbox,
    accounts: new AccountService(deps),
    registration: new RegistrationService(deps),
    sessions,
    signIn: new SignInService(deps, sessions),
    sessionLookup: lookUp(sessions),
  };
}

function lookUp(sessions: SessionService): SessionLookup {
  return {
    signedIn: async (token, request) => {
      const found = await sessions.signedIn(token, clientAddress(request));
      return found && { ...found, token };
    },
  };
}

function tenantServices(config: Config<'api'>, database: Database, queue: Queue, agent: AgentPort) {
  const idempotency = new IdempotencyStore(database);
  const pool = parsePool(config.ADDRESS_POOL);
  const signOnKey = signingKeyFromSeed(Buffer.from(config.SIGN_ON_SEED, 'base64'));
  const deps: TenantDeps = {
    dataSource: database,
    queue: rememberingQueue(queue, idempotency),
    now,
    places: {
      portalDomain: config.PORTAL_DOMAIN,
      tenantDomain: config.TENANT_DOMAIN,
      httpsPort: config.HTTPS_PORT,
    },
  };
  return {
    idempotency,
    stacks: new StackService(deps, { engineId: config.ENGINE_ID, pool }),
    holds: new HoldService(deps),
    sleep: new SleepService(deps),
    resize: new ResizeService(deps),
    backups: new BackupService(deps),
    releases: new ReleaseService({ ...deps, agent }),
    upgrades: new UpgradeService(deps),
    rollouts: new RolloutService(deps),
    domains: new DomainService(deps),
    capacity: new CapacityService(deps, pool),
    operations: new OperationService(deps),
    signOn: new SignOnService(deps, signOnKey),
    reports: new ReportService(deps),
    usage: new UsageService({ database, now }),
    logs: new StackLogs({ database, agent }),
    losses: new RestoreLossQuery({ database, agent, now }),
  };
}

/**
 * Every operation enqueues its job in the transaction that makes it. That is the place where the Idempotency-Key of
 * the request learns of it: both commit or neither does, so a repeated request can never make a second one.
 */
function rememberingQueue(queue: Queue, idempotency: IdempotencyStore): TenantDeps['queue'] {
  return {
    enqueue: async (tx, name, payload, options) => {
      const accepted = await queue.enqueue(tx, name, payload, options);
      if ('operationId' in payload) {
        await idempotency.made(tx, payload.operationId);
      }
      return accepted;
    },
  };
}

function probes(database: Database, counter: RateCounter): Probe[] {
  const needed: Probe[] = [{ name: 'database', optional: false, probe: () => databaseAnswers(database) }];
  return counter instanceof RedisCounter
    ? [...needed, { name: 'redis', optional: true, probe: () => Promise.resolve(counter.available) }]
    : needed;
}
