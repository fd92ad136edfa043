import { loadConfig, type Config } from '#libs/config';
import { isDomainError } from '#libs/contracts';
import { DockerEngine, DockerStreams, DockerWatch } from '#libs/engine';
import { createLogger } from '#libs/telemetry';
import { startAgent } from './agent.js';

/** What stands against a start in a sentence: a person reads it in this container's log, without a stack around it. */
function refused(error: unknown): never {
  if (!isDomainError(error)) {
    throw error;
  }
  process.stderr.write(`✗ ${error.message}\n`);
  process.exit(1);
}

function settings(): Config<'agent'> {
  try {
    return loadConfig('agent');
  } catch (error) {
    return refused(error);
  }
}

const config = settings();
const logger = createLogger('agent', config.LOG_LEVEL);
const engine = new DockerEngine({ endpoint: config.ENGINE_ENDPOINT, parallel: config.PROVISION_PARALLEL });
const stop = await startAgent({
  config,
  engine,
  streams: new DockerStreams({ endpoint: config.ENGINE_ENDPOINT }),
  watch: new DockerWatch({ endpoint: config.ENGINE_ENDPOINT }),
  logger,
  lost: (error) => {
    // At once: nothing that is still in memory here may act. Started again, it stands by.
    logger.fatal({ err: error }, 'this agent may act no more and ends');
    process.exit(1);
  },
}).catch(refused);

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
