import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { DynamicModule } from '@nestjs/common';
import { Logger as NestLogger } from 'nestjs-pino';
import type { Logger } from '#libs/telemetry';
import { Metrics } from './metrics.js';
import { requestLog } from './request-log.js';
import { securityHeaders } from './security-headers.js';

/** The largest honest body is a batch of a hundred reports, about 70 kB. */
const BODY_LIMIT = '100kb';

/** What both listeners share, in the order a request passes it; routes and pages come after. */
export async function createHttpApp(
  module: DynamicModule,
  options: { logger: Logger; trustedProxies: readonly string[] },
): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(module, {
    bufferLogs: true,
    bodyParser: false,
    rawBody: true,
    abortOnError: false,
  });
  app.useLogger(app.get(NestLogger));
  app.disable('x-powered-by');
  app.disable('etag');
  // Exact addresses and networks only: "true" would believe what anybody writes into X-Forwarded-For.
  app.set('trust proxy', options.trustedProxies.length > 0 ? [...options.trustedProxies] : false);
  app.set('query parser', 'simple');
  app.use(requestLog(options.logger));
  app.use(app.get(Metrics).measure());
  app.use(securityHeaders());
  app.useBodyParser('json', { limit: BODY_LIMIT, strict: true });
  return app;
}
