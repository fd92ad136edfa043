import type { Server, ServerResponse } from 'node:http';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { DRAIN_TIMES, OpenAnswers, type DrainTimes } from '#libs/async';
import type { Config } from '#libs/config';
import { httpsOrigin } from '#libs/config';
import { PrivateModule, PublicModule } from './app.module.js';
import { createHttpApp } from './http/http-app.js';
import { serveOpenApi } from './http/openapi.js';
import { servePages } from './http/pages.js';
import { createServices, type ServiceOptions, type Services } from './services.js';

export interface Api {
  publicApp: NestExpressApplication;
  privateApp: NestExpressApplication;
  services: Services;
  /** Leaves the balancer, still answering; false where the proxy could not be told. To be called before `close`. */
  leave(times?: DrainTimes): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * The whole portal API, initialised but not listening: `main.ts` makes it listen, tests send requests to it as it is.
 * Two applications on the same services, so that a route exists on the one listener only.
 */
export async function bootApi(config: Config<'api'>, options: ServiceOptions): Promise<Api> {
  const services = await createServices(config, options);
  try {
    const http = { logger: options.logger, trustedProxies: config.TRUSTED_PROXIES };
    const publicApp = await createHttpApp(PublicModule.with(services), http);
    serveOpenApi(publicApp, httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT));
    servePages(publicApp, config.WEB_DIR);
    const privateApp = await createHttpApp(PrivateModule.with(services), http);
    const [publicAnswers, privateAnswers] = [publicApp, privateApp].map(
      (app) => new OpenAnswers(app.getHttpServer() as Server),
    );
    // Before the routes: of a connection that idles when this process ends, the proxy or the gate may just use it again.
    for (const app of [publicApp, privateApp]) {
      (app.getHttpServer() as Server).prependListener('request', (_request, response: ServerResponse) => {
        if (app === publicApp) {
          services.drain.arrived();
        }
        if (services.drain.isLeaving) {
          response.setHeader('Connection', 'close');
        }
      });
    }
    await publicApp.init();
    await privateApp.init();
    return {
      publicApp,
      privateApp,
      services,
      leave: (times = DRAIN_TIMES) => services.drain.leave(times),
      // Answers under way finish first; what they use is closed after them.
      close: async () => {
        services.streams.endAll();
        const closed = publicApp.close();
        publicAnswers?.end();
        await closed;
        // Last, since there it says for as long as a download goes on that it is leaving, and not hung.
        const closedToo = privateApp.close();
        privateAnswers?.end();
        await closedToo;
        await services.close();
      },
    };
  } catch (error) {
    await services.close();
    throw error;
  }
}
