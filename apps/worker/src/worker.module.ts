import { Module, type DynamicModule } from '@nestjs/common';
import { httpsOrigin, type Config } from '#libs/config';
import { assertPlatform, createDataSource, type Database } from '#libs/db';
import { createQueue, DutyWatch, notingRuns, Queue, Scheduler } from '#libs/jobs';
import { MailDelivery, MailSender, OutboxService } from '#libs/support';
import type { Logger } from '#libs/telemetry';
import { AgentWatch } from './agent-watch.js';
import { SCHEDULES } from './schedules.js';
import { workerHandlers } from './handlers.js';
import { WorkerLifecycle } from './worker.lifecycle.js';

export const DATABASE = Symbol('database');
export const SENDER = Symbol('mail sender');

const now = (): Date => new Date();

@Module({})
export class WorkerModule {
  static with(config: Config<'worker'>, logger: Logger): DynamicModule {
    return {
      module: WorkerModule,
      providers: [
        {
          provide: DATABASE,
          useFactory: async (): Promise<Database> => {
            const options = { poolSize: 6, applicationName: 'aviary-worker' };
            const database = await createDataSource(config.DATABASE_URL, options).initialize();
            await assertPlatform(database, config.PLATFORM_ID);
            return database;
          },
        },
        {
          provide: Queue,
          useFactory: (): Queue => createQueue({ url: config.DATABASE_URL, applicationName: 'aviary-worker', logger }),
        },
        {
          provide: SENDER,
          useFactory: (): MailSender | null =>
            config.SMTP_URL === '' ? null : new MailSender(config.SMTP_URL, config.MAIL_FROM),
        },
        {
          provide: Scheduler,
          inject: [DATABASE, Queue],
          useFactory: (database: Database, queue: Queue): Scheduler =>
            new Scheduler({ database, queue, schedules: SCHEDULES, logger, now }),
        },
        {
          provide: WorkerLifecycle,
          inject: [DATABASE, Queue, Scheduler, SENDER],
          useFactory: (
            database: Database,
            queue: Queue,
            scheduler: Scheduler,
            sender: MailSender | null,
          ): WorkerLifecycle => {
            const delivery = new MailDelivery({ database, sender, now });
            const outbox = new OutboxService({ database, queue, now });
            const portalUrl = httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT);
            const handlers = notingRuns(
              workerHandlers({
                database,
                delivery,
                outbox,
                queue,
                logger,
                now,
                portalUrl,
                zone: config.TIME_ZONE,
                portalBackup: {
                  hour: config.PORTAL_BACKUP_HOUR,
                  overdueHours: config.PORTAL_BACKUP_OVERDUE_HOURS,
                },
              }),
              {
                database,
                schedules: SCHEDULES,
                now,
              },
            );
            const watch = new DutyWatch({ database, logger, now });
            const agents = new AgentWatch({ database, logger, now });
            return new WorkerLifecycle({ database, queue, scheduler, sender, handlers, watch, agents, logger });
          },
        },
      ],
    };
  }
}
