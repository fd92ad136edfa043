import { Global, Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { LoggerModule } from 'nestjs-pino';
import { AccountService, RegistrationService, SessionService, SignInService } from '#libs/accounts';
import { Drain } from '#libs/async';
import { httpsOrigin } from '#libs/config';
import { OutboxService } from '#libs/support';
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
  ReportService,
  ReleaseService,
  ResizeService,
  RestoreLossQuery,
  RolloutService,
  UpgradeService,
  SignOnService,
  SleepService,
  StackService,
  UsageService,
} from '#libs/tenants';
import { Readiness } from './health/readiness.js';
import { AccessGuard, BearerGuard, LISTENER, type Listener } from './http/access.guard.js';
import { SessionLookup } from './http/session-lookup.js';
import { ErrorFilter } from './http/error.filter.js';
import { IdempotencyStore } from './http/idempotency.store.js';
import { LiveStreams } from './http/live-streams.js';
import { Metrics } from './http/metrics.js';
import { NetworkLimitGuard, RATE_COUNTER, RATE_LIMIT_TABLE, RouteLimitGuard } from './http/rate-limit.guard.js';
import { validationPipe } from './http/validation.pipe.js';
import { WatchQuery } from './operator/watch-query.js';
import type { Services } from './services.js';

/** The services, made once per process by `createServices`, for the modules of both listeners. */
@Global()
@Module({})
export class CoreModule {
  static with(services: Services, kind: Listener['kind']): DynamicModule {
    const { config } = services;
    const listener: Listener = { kind, portalOrigin: httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT) };
    const shared: Provider[] = [
      { provide: LISTENER, useValue: listener },
      { provide: SessionLookup, useValue: services.sessionLookup },
      { provide: AccountService, useValue: services.accounts },
      { provide: RegistrationService, useValue: services.registration },
      { provide: SessionService, useValue: services.sessions },
      { provide: SignInService, useValue: services.signIn },
      { provide: OutboxService, useValue: services.outbox },
      { provide: StackService, useValue: services.stacks },
      { provide: HoldService, useValue: services.holds },
      { provide: SleepService, useValue: services.sleep },
      { provide: DomainService, useValue: services.domains },
      { provide: ResizeService, useValue: services.resize },
      { provide: BackupService, useValue: services.backups },
      { provide: RestoreLossQuery, useValue: services.losses },
      { provide: ReleaseService, useValue: services.releases },
      { provide: RolloutService, useValue: services.rollouts },
      { provide: UpgradeService, useValue: services.upgrades },
      { provide: CapacityService, useValue: services.capacity },
      { provide: OperationService, useValue: services.operations },
      { provide: OrphanService, useValue: services.orphans },
      { provide: PlanQuery, useValue: services.plans },
      { provide: ChangeFeed, useValue: services.feed },
      { provide: SignOnService, useValue: services.signOn },
      { provide: ReportService, useValue: services.reports },
      { provide: UsageService, useValue: services.usage },
      { provide: StackLogs, useValue: services.logs },
      { provide: ExportService, useValue: services.exports },
      { provide: IdempotencyStore, useValue: services.idempotency },
      { provide: FleetOverviewQuery, useValue: services.overview },
      { provide: WatchQuery, useValue: services.watch },
      { provide: Readiness, useValue: services.readiness },
      { provide: Drain, useValue: services.drain },
      { provide: LiveStreams, useValue: services.streams },
      { provide: AgentPort, useValue: services.agent },
      { provide: Metrics, useValue: services.metrics },
      { provide: RATE_COUNTER, useValue: services.counter },
      { provide: RATE_LIMIT_TABLE, useValue: services.rateLimits },
    ];
    return {
      module: CoreModule,
      imports: [logging(services.logger)],
      providers: [
        ...shared,
        BearerGuard,
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_PIPE, useValue: validationPipe },
        // In this order: count the network, find out who asks, count them.
        { provide: APP_GUARD, useClass: NetworkLimitGuard },
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_GUARD, useClass: RouteLimitGuard },
      ],
      exports: shared,
    };
  }
}

/** The request's line is logged by `requestLog`, which also covers what fails before Nest sees it. */
function logging(logger: Logger): DynamicModule {
  return LoggerModule.forRoot({ pinoHttp: { logger }, useExisting: true });
}
