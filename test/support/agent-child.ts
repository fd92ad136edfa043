// Run as a child by tests that kill it: the production agent on an engine that another process holds. Its stacks have
// no real processes, so the probes ask that engine whether they would be ready.
import { loadConfig } from '#libs/config';
import { FakeStreams, SocketEngine, SocketStreams, type Engine, type EngineStreams } from '#libs/engine';
import { createLogger } from '#libs/telemetry';
import { startAgent } from '../../apps/agent/src/agent.js';
import { portalServer } from '../../apps/agent/src/portal-database.js';
import { engineProbes } from './engine-probes.js';
import { portalTool } from './portal-database.js';

const socket = process.argv[2];
if (!socket) {
  throw new Error('usage: agent-child <engine socket>');
}
const HOUR = 3_600_000;
/** The database that stands for the one in the portal's container, where there is one. */
const portal = process.env['TEST_PORTAL_DATABASE'];

/** Streams of stacks that another process holds too. */
const lentStreams = process.env['TEST_STREAMS'];

/** This process stands still at the first call of that name, which it was allowed and has not sent. */
function stoppingBefore(lent: Engine, name: string | undefined): Engine {
  let stopped = false;
  return new Proxy(lent, {
    get(target, asked): unknown {
      const member: unknown = Reflect.get(target, asked);
      if (typeof member !== 'function') {
        return member;
      }
      return (...args: unknown[]): unknown => {
        if (asked === name && !stopped) {
          stopped = true;
          process.kill(process.pid, 'SIGSTOP');
        }
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
}

const config = loadConfig('agent');
const engine = stoppingBefore(new SocketEngine(socket), process.env['TEST_STOPS_BEFORE']);
/** Of the one container that may be backed up here. */
function portalStreams(): EngineStreams {
  return new FakeStreams({
    engine,
    run: (container, command) => {
      if (portal === undefined || container !== portalServer(config.PLATFORM_ID, {} as never).place.container) {
        throw new Error(`nothing is backed up here, and ${container} has no ${command[0] ?? ''}`);
      }
      return portalTool(command.map((word) => (word === 'aviary' ? portal : word)));
    },
  });
}

const stop = await startAgent({
  config,
  engine,
  streams: lentStreams === undefined ? portalStreams() : new SocketStreams(lentStreams),
  logger: createLogger('agent', config.LOG_LEVEL),
  probes: engineProbes(engine),
  keysMoved: process.env['TEST_DIES_MOVING_KEYS'] === 'yes' ? () => process.kill(process.pid, 'SIGKILL') : undefined,
  // Its calls would be counted among those of operations.
  ...(process.env['TEST_RECONCILES'] === 'yes'
    ? {}
    : { reconcile: { settleMs: HOUR, passMs: HOUR, againMs: HOUR, filesMs: HOUR, patienceMs: HOUR } }),
  fenceSeconds: Number(process.env['TEST_FENCE_SECONDS'] ?? 60),
  lost: (error) => {
    process.stderr.write(`lost: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
});
process.once('SIGTERM', () => void stop().then(() => process.exit(0)));
process.stdout.write('ready\n');
