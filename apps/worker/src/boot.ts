import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { Config } from '#libs/config';
import type { Logger } from '#libs/telemetry';
import { startHealthServer } from './health.server.js';
import { NestLogger } from './nest-logger.js';
import { WorkerLifecycle } from './worker.lifecycle.js';
import { WorkerModule } from './worker.module.js';

export interface RunningWorker {
  healthPort: number;
  /** Finishes running jobs (up to 8 s), then leaves. */
  stop(): Promise<void>;
}

export async function bootWorker(config: Config<'worker'>, logger: Logger): Promise<RunningWorker> {
  const context = await NestFactory.createApplicationContext(WorkerModule.with(config, logger), {
    logger: new NestLogger(logger),
    abortOnError: false,
  });
  const lifecycle = context.get(WorkerLifecycle);
  const health = await startHealthServer(
    { port: config.WORKER_HEALTH_PORT, host: config.WORKER_HEALTH_HOST },
    () => lifecycle.check(),
    () => lifecycle.metrics(),
  );
  logger.info({ healthPort: health.port, mail: config.SMTP_URL === '' ? 'kept' : 'sent' }, 'worker runs');
  return {
    healthPort: health.port,
    stop: async () => {
      await health.close();
      await context.close();
      logger.info('worker stopped');
    },
  };
}
