import { setTimeout as pause } from 'node:timers/promises';
import { docker, killEngine, killProcess, startEngine } from '../engine.js';
import type { TestPlatform } from '../platform.js';
import { SERVICES, type Fault, type FaultKind } from './schedule.js';

/** Faults of the portal itself; the others need a stack. */
const OF_PORTAL: readonly FaultKind[] = ['agent', 'worker', 'engine', 'database'];
export const needsStack = (kind: FaultKind): boolean => !OF_PORTAL.includes(kind);

/** Does it, and says what was done. Throws where what it is to meet is not there or does not run just then. */
export async function makeFault(platform: TestPlatform, { kind, service, away }: Fault, slug: string): Promise<string> {
  const container = platform.service(slug, service);
  const network = `aviary-${platform.facts.prefix}-${slug}`;
  const engine = async (...args: string[]): Promise<string> => {
    await docker(...args);
    return `docker ${args.join(' ')}`;
  };
  const killed = async (victim: string): Promise<string> => {
    await killProcess(victim);
    return `kill -9 ${victim}`;
  };
  switch (kind) {
    case 'kill':
      return engine('kill', container);
    case 'stop':
      return engine('stop', '-t', '3', container);
    case 'remove':
      return engine('rm', '-f', '-v', container);
    case 'die':
      return killed(container);
    case 'disconnect':
      return engine('network', 'disconnect', '-f', network, container);
    case 'network':
      await Promise.allSettled(
        SERVICES.map((one) => docker('network', 'disconnect', '-f', network, platform.service(slug, one))),
      );
      return engine('network', 'rm', network);
    case 'agent':
    case 'worker':
      return killed(platform.container(kind));
    case 'database':
      return killed(platform.container('postgres'));
    case 'engine':
      await killEngine();
      await pause(away * 1_000);
      await startEngine();
      return `the engine killed, and back after ${away} s`;
  }
}
