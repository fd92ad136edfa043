import { Module, type DynamicModule } from '@nestjs/common';
import { AuthController } from './auth/auth.controller.js';
import { CoreModule } from './core.module.js';
import { HealthController } from './health/health.controller.js';
import { AccessTokenStrategy } from './http/access-token.strategy.js';
import { EventStreams } from './http/event-stream.js';
import { IdempotencyInterceptor } from './http/idempotency.interceptor.js';
import { OperationsController } from './operations/operations.controller.js';
import { HoldsController } from './operator/holds.controller.js';
import { CapacityController } from './operator/capacity.controller.js';
import { HostsController } from './operator/hosts.controller.js';
import { OperatorController } from './operator/operator.controller.js';
import { OrphansController } from './operator/orphans.controller.js';
import { PlansController } from './operator/plans.controller.js';
import { OutboxController } from './operator/outbox.controller.js';
import { BackupsController } from './operator/backups.controller.js';
import { ReleasesController } from './operator/releases.controller.js';
import { RolloutsController } from './operator/rollouts.controller.js';
import { WatchController } from './operator/watch.controller.js';
import { BalancerController } from './private/balancer.controller.js';
import { GateController } from './private/gate.controller.js';
import { MetricsController } from './private/metrics.controller.js';
import { ReportsController } from './reports/reports.controller.js';
import type { Services } from './services.js';
import { SignOnController } from './sign-on/sign-on.controller.js';
import { StackBackupsController } from './stacks/stack-backups.controller.js';
import { ExportsController } from './stacks/exports.controller.js';
import { StackDomainsController } from './stacks/stack-domains.controller.js';
import { StackOrdersController } from './stacks/stack-orders.controller.js';
import { StackLogsController } from './stacks/stack-logs.controller.js';
import { StacksController } from './stacks/stacks.controller.js';

/** What the proxy routes to. A controller is public by standing here; nothing private may. */
@Module({})
export class PublicModule {
  static with(services: Services): DynamicModule {
    return {
      module: PublicModule,
      imports: [CoreModule.with(services, 'public')],
      controllers: [
        AuthController,
        StacksController,
        StackLogsController,
        StackOrdersController,
        StackDomainsController,
        StackBackupsController,
        ExportsController,
        HoldsController,
        OperationsController,
        SignOnController,
        ReportsController,
        OperatorController,
        CapacityController,
        BackupsController,
        ReleasesController,
        RolloutsController,
        OrphansController,
        PlansController,
        HostsController,
        OutboxController,
        WatchController,
        HealthController,
      ],
      providers: [AccessTokenStrategy, EventStreams, IdempotencyInterceptor],
    };
  }
}

/** What only the platform's own network reaches: the gate's and the proxy's questions, metrics, detailed health. */
@Module({})
export class PrivateModule {
  static with(services: Services): DynamicModule {
    return {
      module: PrivateModule,
      imports: [CoreModule.with(services, 'private')],
      controllers: [GateController, BalancerController, MetricsController, HealthController],
    };
  }
}
