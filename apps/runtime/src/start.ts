import { setTimeout as delay } from 'node:timers/promises';
import { ACTIVITY_AUDIENCE, RESUMPTION_AUDIENCE, STORE_TEXT } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { Authenticator } from './access/authenticator.js';
import { PlatformCheck } from './access/platform-check.js';
import { App } from './app.js';
import { isDatabaseAway, type Database } from './database/database.js';
import type { HttpServer } from './http/server.js';
import { routesOf } from './http/routes.js';
import { StaticFiles } from './http/static-files.js';
import { Cache } from './live/cache.js';
import { readPriceSettings } from './market/price-source.js';
import { openStackDatabase } from './stack/stack-database.js';
import { readStackFiles, type StackFiles } from './stack/stack-files.js';

const AGAIN_MS = 500;

/**
 * Where everything of a host starts at once, a database that let one connection in may not have time for the next: then
 * from the beginning, for ending would only have everything started once more.
 */
async function openApp(deps: {
  files: StackFiles;
  cache: Cache;
  logger: Logger;
  signal: AbortSignal;
  waits: () => void;
}): Promise<{ app: App; database: Database }> {
  const { logger, signal, waits } = deps;
  for (;;) {
    const database = await openStackDatabase(deps);
    try {
      const app = new App({ ...deps, database, settings: await readPriceSettings(database) });
      await app.open();
      return { app, database };
    } catch (error) {
      await database.close();
      if (!isDatabaseAway(error)) {
        throw error;
      }
      logger.warn({ err: error }, 'the database went away while the stack was opened');
      waits();
      await delay(AGAIN_MS, undefined, { signal });
    }
  }
}

/** Opens the stack and puts it behind the server. Throws DATA_MISSING when the database is not the stack's own. */
export async function startRuntime(options: {
  directory: string;
  dashboard: string;
  server: HttpServer;
  logger: Logger;
  signal: AbortSignal;
}): Promise<{ close: () => Promise<void> }> {
  const { directory, dashboard, server, logger, signal } = options;
  const files = await readStackFiles(directory);
  // Connects on its own while the database is opened.
  const cache = new Cache({ ...files.spec.redis, password: files.redisPassword, logger });
  try {
    const waits = (): void => {
      server.stage = { site: null, code: 'POSTGRES_AWAY', message: STORE_TEXT.POSTGRES_AWAY };
    };
    const { app, database } = await openApp({ files, cache, logger, signal, waits });
    const { tokens } = app;
    const platform = new PlatformCheck(files);
    server.stage = {
      site: {
        authenticator: new Authenticator({ spec: files.spec, gateKey: files.gateKey, tokens }),
        routes: routesOf(app),
        files: new StaticFiles(dashboard),
        ready: () => app.ready(),
        activity: async (authorization) => {
          await platform.require(authorization, ACTIVITY_AUDIENCE);
          return app.activity();
        },
        resumption: async (authorization) => {
          await platform.require(authorization, RESUMPTION_AUDIENCE);
          return app.resumption();
        },
        hold: async (authorization) => app.hold(await platform.requireHold(authorization)),
      },
    };
    logger.info({ ms: Math.round(performance.now()) }, 'stack is open');
    const running = app.run();
    return {
      close: async () => {
        await app.close();
        await running;
        cache.close();
        await database.close();
      },
    };
  } catch (error) {
    cache.close();
    throw error;
  }
}
