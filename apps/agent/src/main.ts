import { loadConfig } from '#libs/config';
import { DockerEngine } from '#libs/engine';
import { createLogger } from '#libs/telemetry';
import { startAgent } from './agent.js';

const config = loadConfig('agent');
const logger = createLogger('agent', config.LOG_LEVEL);
const engine = new DockerEngine({ endpoint: config.ENGINE_ENDPOINT, parallel: config.PROVISION_PARALLEL });
const stop = await startAgent({ config, engine, logger });

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => {
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'did not stop cleanly');
        process.exit(1);
      },
    );
  });
}
