import { parseArgs } from 'node:util';
import { isDomainError, SPEC_FILES } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import { HttpServer } from './http/server.js';
import { startRuntime } from './start.js';

/** `node main.js [--directory /run/aviary] [--dashboard /app/dashboard] [--host 0.0.0.0] [--port 8080]` */
const { values } = parseArgs({
  options: {
    directory: { type: 'string', default: SPEC_FILES.directory },
    dashboard: { type: 'string', default: '/app/dashboard' },
    host: { type: 'string', default: '0.0.0.0' },
    port: { type: 'string', default: '8080' },
    'log-level': { type: 'string', default: 'info' },
  },
});

const logger = createLogger('runtime', values['log-level']);
const stopping = new AbortController();
const server = new HttpServer(logger);
let runtime: Awaited<ReturnType<typeof startRuntime>> | null = null;

async function stop(): Promise<void> {
  if (stopping.signal.aborted) {
    return;
  }
  logger.info('stopping');
  stopping.abort();
  await runtime?.close();
  await server.close();
  logger.info('stopped');
  process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => void stop());
}

// What nobody caught leaves us in an unknown state: the engine starts us again, and the bots resume from the database.
for (const fault of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(fault, (error: unknown) => {
    logger.fatal({ err: error, fault }, 'ending after an unforeseen error');
    process.exit(1);
  });
}

/** No top-level await: as one CommonJS file the runtime starts a third sooner (see README). */
async function start(): Promise<void> {
  try {
    const port = await server.listen(values.host, Number(values.port));
    logger.info({ port, ms: Math.round(performance.now()) }, 'listening');
    runtime = await startRuntime({
      directory: values.directory,
      dashboard: values.dashboard,
      server,
      logger,
      signal: stopping.signal,
    });
  } catch (error) {
    if (!stopping.signal.aborted) {
      if (isDomainError(error, 'DATA_MISSING')) {
        // Stays up and says so on /ready: a restart would not mend it, and the reason must be seen.
        server.stage = { site: null, code: 'DATA_MISSING', message: error.message };
        logger.error({ code: error.code }, error.message);
      } else {
        logger.fatal({ err: error }, 'the runtime cannot start');
        process.exit(1);
      }
    }
  }
}

void start();
