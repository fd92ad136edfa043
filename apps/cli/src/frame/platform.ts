import { loadConfig } from '#libs/config';
import { DomainError, type Actor } from '#libs/contracts';
import { findByIdentifier } from '#libs/accounts';
import { AccountEntity, assertPlatform, createDataSource, type Database } from '#libs/db';
import { createQueue, type Queue } from '#libs/jobs';
import { KeyService } from '#libs/keys';
import { createLogger, type Logger } from '#libs/telemetry';
import {
  CapacityService,
  AgentPort,
  BackupService,
  ChangeFeed,
  DomainService,
  ExportService,
  FleetOverviewQuery,
  HoldService,
  OperationService,
  parsePool,
  PortalBackupService,
  RepositoryPasswordService,
  RecoveryService,
  ReleaseService,
  ResizeService,
  RestoreLossQuery,
  RolloutService,
  RetentionService,
  UpgradeService,
  SleepService,
  StackLogs,
  StackService,
  UsageService,
} from '#libs/tenants';

/** What commands work with: the same services the pages use, on the same database. */
export interface Platform {
  dataSource: Database;
  queue: Queue;
  logger: Logger;
  stacks: StackService;
  holds: HoldService;
  sleep: SleepService;
  resize: ResizeService;
  backups: BackupService;
  losses: RestoreLossQuery;
  retention: RetentionService;
  releases: ReleaseService;
  upgrades: UpgradeService;
  rollouts: RolloutService;
  domains: DomainService;
  operations: OperationService;
  capacity: CapacityService;
  fleet: FleetOverviewQuery;
  keys: KeyService;
  portalBackups: PortalBackupService;
  recovery: RecoveryService;
  usage: UsageService;
  logs: StackLogs;
  exports: ExportService;
  passwords: RepositoryPasswordService;
  feed: ChangeFeed;
  now: () => Date;
  /** The operator in whose name it is done, for the audit. */
  operator(): Promise<Actor & { kind: 'operator' }>;
  /** Id of an account by e-mail or user name. */
  accountId(who: string): Promise<string>;
  close(): Promise<void>;
}

/** Connects; `as` names the operator who acts, the oldest one unless told. */
export async function connectPlatform(as: string | undefined, verbose: boolean): Promise<Platform> {
  const config = loadConfig('cli');
  const logger = createLogger('cli', verbose ? 'debug' : 'error', 2);
  const dataSource = await createDataSource(config.DATABASE_URL, {
    applicationName: 'aviary-cli',
    poolSize: 3,
  }).initialize();
  const queue = createQueue({ url: config.DATABASE_URL, applicationName: 'aviary-cli', logger, supervise: false });
  try {
    await assertPlatform(dataSource, config.PLATFORM_ID);
    await queue.start();
  } catch (error) {
    // Open connections would keep the process alive after it said why it ends.
    await dataSource.destroy();
    throw error;
  }
  const now = (): Date => new Date();
  const deps = {
    dataSource,
    queue,
    now,
    places: { portalDomain: config.PORTAL_DOMAIN, tenantDomain: config.TENANT_DOMAIN, httpsPort: config.HTTPS_PORT },
  };
  const pool = parsePool(config.ADDRESS_POOL);
  const agent = new AgentPort(config.AGENT_SOCKET, config.ENGINE_ID);
  const feed = new ChangeFeed(config.DATABASE_URL, logger);
  feed.start();
  return {
    dataSource,
    queue,
    logger,
    stacks: new StackService(deps, { engineId: config.ENGINE_ID, pool }),
    holds: new HoldService(deps),
    sleep: new SleepService(deps),
    resize: new ResizeService(deps),
    backups: new BackupService(deps),
    losses: new RestoreLossQuery({ database: dataSource, agent, now }),
    retention: new RetentionService(deps, config.TIME_ZONE),
    releases: new ReleaseService({ ...deps, agent }),
    upgrades: new UpgradeService(deps),
    rollouts: new RolloutService(deps),
    domains: new DomainService(deps),
    capacity: new CapacityService(deps, pool),
    fleet: new FleetOverviewQuery(dataSource, now),
    operations: new OperationService(deps),
    keys: new KeyService(dataSource, now),
    portalBackups: new PortalBackupService(dataSource, { overdueHours: config.PORTAL_BACKUP_OVERDUE_HOURS }, now),
    recovery: new RecoveryService(dataSource),
    usage: new UsageService({ database: dataSource, now }),
    logs: new StackLogs({ database: dataSource, agent }),
    exports: new ExportService({ database: dataSource, agent, logger, now, at: 'host' }),
    passwords: new RepositoryPasswordService({ database: dataSource, agent }),
    feed,
    now,
    async operator() {
      const account = await dataSource.manager.findOne(AccountEntity, {
        where: { role: 'operator', state: 'active', ...(as === undefined ? {} : { username: as.toLowerCase() }) },
        order: { createdAt: 'ASC' },
      });
      if (!account) {
        throw new DomainError('FORBIDDEN', {
          message:
            as === undefined
              ? 'There is no operator yet: aviary user create --operator.'
              : `There is no active operator ${as}.`,
        });
      }
      return {
        kind: 'operator',
        accountId: account.id,
        username: account.username,
        via: 'cli',
        ip: null,
        sessionId: null,
      };
    },
    async accountId(who) {
      const account = await findByIdentifier(dataSource.manager, who);
      if (!account) {
        throw new DomainError('NOT_FOUND', { message: `There is no account ${who}.` });
      }
      return account.id;
    },
    async close() {
      await feed.stop();
      await queue.stop();
      await dataSource.destroy();
    },
  };
}
