import { waitFor } from '#libs/async';
import { loadConfig } from '#libs/config';
import { isDatabaseAway } from '#libs/db';
import { createLogger } from '#libs/telemetry';
import { bootWorker, type RunningWorker } from './boot.js';

const config = loadConfig('worker');
const logger = createLogger('worker', config.LOG_LEVEL);
const stopping = new AbortController();
let worker: RunningWorker | undefined;

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    logger.info({ signal }, 'worker stops');
    stopping.abort(new Error(`stopped by ${signal}`));
    (worker?.stop() ?? Promise.resolve()).then(
      () => process.exit(0),
      (err: unknown) => {
        logger.error({ err }, 'worker did not stop cleanly');
        process.exit(1);
      },
    );
  });
}

try {
  // The database may start beside us, so its absence is waited out; anything else that is wrong ends the wait at once.
  const outcome = await waitFor(
    async (): Promise<{ worker: RunningWorker } | { wrong: unknown }> => {
      try {
        return { worker: await bootWorker(config, logger) };
      } catch (error) {
        if (isDatabaseAway(error)) {
          throw error;
        }
        return { wrong: error };
      }
    },
    { what: 'the start of the worker', deadlineMs: 60_000, intervalMs: 500, signal: stopping.signal },
  );
  if ('wrong' in outcome) {
    throw outcome.wrong;
  }
  worker = outcome.worker;
} catch (err) {
  if (!stopping.signal.aborted) {
    logger.fatal({ err }, 'worker cannot start');
    process.exit(1);
  }
}
