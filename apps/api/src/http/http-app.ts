import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { DynamicModule } from '@nestjs/common';
import { Logger as NestLogger } from 'nestjs-pino';
import { DomainError } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { Metrics } from './metrics.js';
import { requestLog } from './request-log.js';
import { securityHeaders } from './security-headers.js';

/** The largest honest body is a batch of a hundred reports, about 70 kB. */
const BODY_LIMIT = '100kb';
/** Longer than the proxy keeps an idle connection (Traefik: 90 s), else it would send a request into one just closing. */
const KEEP_ALIVE_MS = 120_000;

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
  app.getHttpServer().keepAliveTimeout = KEEP_ALIVE_MS;
  app.disable('x-powered-by');
  app.disable('etag');
  // Exact addresses and networks only: "true" would believe what anybody writes into X-Forwarded-For.
  trustProxies(app, options.trustedProxies);
  app.set('query parser', 'simple');
  app.use(requestLog(options.logger));
  app.use(app.get(Metrics).measure());
  app.use(securityHeaders());
  app.useBodyParser('json', { limit: BODY_LIMIT, strict: true });
  return app;
}

function trustProxies(app: NestExpressApplication, proxies: readonly string[]): void {
  try {
    app.set('trust proxy', proxies.length > 0 ? [...proxies] : false);
  } catch (cause) {
    throw new DomainError('CONFIG_INVALID', {
      message: 'AVIARY_TRUSTED_PROXIES must be addresses and networks, separated by commas.',
      cause,
    });
  }
}
