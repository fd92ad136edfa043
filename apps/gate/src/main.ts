import { join } from 'node:path';
import { Drain, DRAIN_TIMES, OpenAnswers } from '#libs/async';
import { httpsOrigin, loadConfig } from '#libs/config';
import { publicKeyFromText, signingKeyFromSeed } from '#libs/crypto';
import { createLogger } from '#libs/telemetry';
import { ApiDoors } from './api-doors.js';
import { GateMetrics } from './metrics.js';
import { Programs } from './programs.js';
import { redeemAt } from './redeem.js';
import { Revocations } from './revocations.js';
import { Gate } from './server.js';
import { Sessions } from './sessions.js';
import { SignOn } from './sign-on.js';
import { startingAt } from './starting.js';
import { wakeAt } from './wake.js';

const config = loadConfig('gate');
const logger = createLogger('gate', config.LOG_LEVEL);
const now = (): number => Date.now();
/** For what lasts a moment: a clock that is set makes no answer older or newer. */
const elapsed = (): number => performance.now();
const portalOrigin = httpsOrigin(config.PORTAL_DOMAIN, config.HTTPS_PORT);
const originOf = (host: string): string => httpsOrigin(host, config.HTTPS_PORT);
const { TENANT_DOMAIN: tenantDomain } = config;

const api = new ApiDoors(config.API_PRIVATE_URLS);
const revocations = new Revocations({
  api,
  stateDirectory: config.GATE_STATE_DIR,
  name: config.GATE_NAME,
  logger,
  now,
});
const sessions = new Sessions({
  signOnKey: publicKeyFromText(config.SIGN_ON_PUBLIC_KEY),
  gateKey: signingKeyFromSeed(Buffer.from(config.GATE_SEED, 'base64')),
  revocations,
  now,
});
const redeem = redeemAt(api);
const signOn = new SignOn({ sessions, revocations, redeem, portalOrigin, originOf, logger, now });
const wake = wakeAt(api, elapsed);
const starting = startingAt(api, elapsed);
const drain = new Drain();
const gate = new Gate({
  sessions,
  revocations,
  signOn,
  wake,
  starting,
  programs: new Programs({ wake, starting, tenantDomain, logger }),
  drain,
  tenantDomain,
  originOf,
  portalOrigin,
  // Where the agent's ACME client leaves its answers.
  webRoot: join(config.GATE_STATE_DIR, 'webroot'),
  metrics: new GateMetrics(revocations),
  logger,
});

const server = gate.listen();
const answers = new OpenAnswers(server);
// Before anything is answered: the proxy is to use no connection again that is about to end.
server.prependListener('request', (_request, response) => {
  if (drain.isLeaving) {
    response.setHeader('Connection', 'close');
  }
});
revocations.start();
server.listen(config.GATE_PORT, config.GATE_HOST, () => {
  logger.info({ port: config.GATE_PORT, host: config.GATE_HOST }, 'the gate answers');
});

/** Longer than an answer of ours takes: those that wait for an api the longest. */
const GRACE_MS = 4_000;
async function end(): Promise<void> {
  if (!(await drain.leave(DRAIN_TIMES))) {
    logger.info('the proxy was not told to send no more requests: it did not ask');
  }
  server.close();
  answers.end();
  setTimeout(() => server.closeAllConnections(), GRACE_MS).unref();
  await revocations.stop();
}

let stopping = false;
const stop = (signal: string): void => {
  if (stopping) {
    return;
  }
  stopping = true;
  logger.info({ signal }, 'the gate stops');
  end().catch((error: unknown) => {
    logger.error({ err: error }, 'the gate did not stop cleanly');
    process.exitCode = 1;
  });
};
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
