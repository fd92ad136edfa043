import { setTimeout as pause } from 'node:timers/promises';
import { docker, killEngine, startEngine } from '../engine.js';
import type { TestPlatform } from '../platform.js';
import { SERVICES, type Fault, type FaultKind } from './schedule.js';

/** Faults of the portal itself; the others need a stack. */
const OF_PORTAL: readonly FaultKind[] = ['agent', 'worker', 'engine', 'database'];
export const needsStack = (kind: FaultKind): boolean => !OF_PORTAL.includes(kind);

/** As the kernel's own killer does it: nobody asked the engine, whose restart policy acts. */
async function killProcess(container: string): Promise<string> {
  const pid = Number(await docker('inspect', '-f', '{{.State.Pid}}', container));
  if (pid === 0) {
    throw new Error(`${container} does not run`);
  }
  process.kill(pid, 'SIGKILL');
  return `kill -9 ${container}`;
}

/** Does it, and says what was done. Throws where what it is to meet is not there or does not run just then. */
export async function makeFault(platform: TestPlatform, { kind, service, away }: Fault, slug: string): Promise<string> {
  const container = platform.service(slug, service);
  const network = `aviary-${platform.facts.prefix}-${slug}`;
  const engine = async (...args: string[]): Promise<string> => {
    await docker(...args);
    return `docker ${args.join(' ')}`;
  };
  switch (kind) {
    case 'kill':
      return engine('kill', container);
    case 'stop':
      return engine('stop', '-t', '3', container);
    case 'remove':
      return engine('rm', '-f', '-v', container);
    case 'die':
      return killProcess(container);
    case 'disconnect':
      return engine('network', 'disconnect', '-f', network, container);
    case 'network':
      await Promise.allSettled(
        SERVICES.map((one) => docker('network', 'disconnect', '-f', network, platform.service(slug, one))),
      );
      return engine('network', 'rm', network);
    case 'agent':
    case 'worker':
      return killProcess(platform.container(kind));
    case 'database':
      return killProcess(platform.container('postgres'));
    case 'engine':
      await killEngine();
      await pause(away * 1_000);
      await startEngine();
      return `the engine killed, and back after ${away} s`;
  }
}
