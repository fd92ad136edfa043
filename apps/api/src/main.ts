import { loadConfig } from '#libs/config';
import { createLogger } from '#libs/telemetry';
import { bootApi } from './boot.js';

const config = loadConfig('api');
const logger = createLogger('api', config.LOG_LEVEL);
const api = await bootApi(config, { logger });
await api.publicApp.listen(config.API_PORT, config.API_HOST);
await api.privateApp.listen(config.API_PRIVATE_PORT, config.API_HOST);
logger.info({ port: config.API_PORT, privatePort: config.API_PRIVATE_PORT }, 'api listens');

/**
 * Longer than any request of ours may take, and long enough for most downloads of backups; then the process ends whatever
 * is left. The container's own grace is longer still (docker-compose.portal.yml).
 */
const GRACE_MS = 60_000;
async function end(): Promise<void> {
  if (!(await api.leave())) {
    logger.info('the proxy was not told to send no more requests: it did not ask');
  }
  await api.close();
}

let stopping = false;
const stop = (signal: string): void => {
  if (stopping) {
    return;
  }
  stopping = true;
  logger.info({ signal }, 'api stops');
  setTimeout(() => process.exit(1), GRACE_MS).unref();
  end().then(
    () => process.exit(0),
    (error: unknown) => {
      logger.error({ err: error }, 'api did not stop cleanly');
      process.exit(1);
    },
  );
};
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
